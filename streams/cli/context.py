"""What every verb gets from the global options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import typer

from streams.cli.output import Output


@dataclass(frozen=True, slots=True)
class Context:
    """The global options of one call: the plan file (not yet read) and where to write."""

    plan_path: Path
    out: Output


def context(ctx: typer.Context) -> Context:
    """The `Context` that `program` put on the call."""
    return cast(Context, ctx.obj)
