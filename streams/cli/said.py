"""What a person says with an order: who, and why. It is kept, and shown in a line of a table."""

from __future__ import annotations

import getpass
from typing import Annotated, Final, NamedTuple

import typer

from streams.errors import UsageError

SAID_MAX: Final = 500

By = Annotated[str, typer.Option("--by", envvar="HOLDTRUE_BY", show_envvar=True, help="Who orders it.")]


class Said(NamedTuple):
    """Who, and why."""

    by: str
    reason: str


def said(by: str, reason: str) -> Said:
    """Both as they are kept; nobody named is the user of this process. Raises UsageError for what is no line."""
    if not reason.strip():
        raise UsageError("A reason is missing.", "Say why, for the audit trail: --reason.")
    found = Said(by or getpass.getuser(), reason.strip())
    if len(found.by) + len(found.reason) > SAID_MAX or not "".join(found).isprintable():
        raise UsageError(f"Who and why must be a line of up to {SAID_MAX} characters.", "Say less, in one line.")
    return found
