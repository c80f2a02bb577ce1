"""How a verb answers: data on stdout as a table, JSON or JSON lines; everything said about the work on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table

PIPE_COLUMNS = 500
# Rows that one answer may be asked for.
LIMIT_MAX = 1_000_000
# Numbers that name something: they are copied elsewhere, and are no figures with groups of digits.
IDENTIFIERS = frozenset({"pid", "id", "partition", "offset", "sequence", "line"})


class Format(StrEnum):
    """How data is written to stdout (`--format`)."""

    table = "table"
    json = "json"
    jsonl = "jsonl"


class _Piped(Console):
    """A console that leaves a pipe which nobody reads to `main`, as any other output does."""

    def on_broken_pipe(self) -> None:
        """Goes on with the error that is being handled; rich would end the process with 1."""
        raise


class Output:
    """Where a verb writes. One object per command, so that `--format` and `--quiet` mean the same everywhere."""

    def __init__(self, fmt: Format = Format.table, *, quiet: bool = False) -> None:
        self.fmt = fmt
        self.quiet = quiet
        # In a pipe there is no width to fit: a table is as wide as its content.
        width = None if sys.stdout.isatty() else PIPE_COLUMNS
        # Keys and reasons are texts of others: brackets and colons in them are no markup.
        self._out = _Piped(file=sys.stdout, soft_wrap=True, highlight=False, width=width, markup=False, emoji=False)
        self.progress = _Piped(file=sys.stderr, soft_wrap=True, highlight=False, quiet=quiet)

    def note(self, text: str) -> None:
        """Say something about the work, for a person, on stderr; silent with `--quiet`."""
        self.progress.print(text, markup=False)

    def text(self, text: str) -> None:
        """Write a document (a rendered config, a schema) to stdout exactly as it is."""
        print(text)  # noqa: T201 - the one place where stdout is written as is

    def document(self, data: Mapping[str, Any]) -> None:
        """Write one object as JSON: indented for `json` and `table`, one line for `jsonl`."""
        indent = None if self.fmt is Format.jsonl else 2
        self.text(json.dumps(data, indent=indent, default=str))

    def done(self, data: Mapping[str, Any]) -> None:
        """Write what was done as one object, for scripts; a person is told of it by notes."""
        if self.fmt is not Format.table:
            self.document(data)

    def rows(self, name: str, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], **extra: Any) -> None:
        """Write a list: JSON puts it under `name` beside `extra`; a table shows `columns`, in that order."""
        listed = [dict(row) for row in rows]
        if self.fmt is Format.jsonl:
            for row in listed:
                self.text(json.dumps(row, default=str))
        elif self.fmt is Format.json:
            self.document({**extra, name: listed})
        else:
            self._out.print(_table(listed, columns))


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(column, row.get(column)) for column in columns))
    return table


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    if column in IDENTIFIERS:
        return str(value)
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
