"""How moments and numbers are written in reports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def shown(value: Any) -> str:
    """A value of the control database; - where there is none."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return shown_moment(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return shown_number(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def shown_moment(at: datetime) -> str:
    """To the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def shown_number(value: float) -> str:
    """With groups of digits, and at most three behind the point."""
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
