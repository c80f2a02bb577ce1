"""How plan messages write names and paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# What stands where a name should may be a DSN with its password.
_ADDRESS: Final = re.compile(r"://|\w\s*=\s*\S").search


def quoted(name: object) -> str:
    """`name` for use in a sentence; long or odd text is shortened and escaped."""
    text = str(name)
    if _ADDRESS(text):
        return "(an address, which is not shown)"
    shown = text if len(text) <= 60 else text[:57] + "..."
    return shown if shown.isprintable() else repr(shown)


def listed(names: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    items = list(names)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def dotted(path: Iterable[str | int]) -> str:
    """The path of a value in the plan file, such as `replicas.reports.tables.public.t.where[0].op`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{quoted(part)}"
    return text.removeprefix(".")
