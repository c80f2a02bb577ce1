"""The canonical form of a row: Postgres's own text output under one fixed session.

Every store's content, every change and every read of the SOT is brought to this form, so that two rows are equal
exactly when their canonical bytes are. A row is a tuple of texts (None is NULL) in the order of the mapping's columns.
Its bytes are the line that `COPY … TO STDOUT` prints, which makes a read of Postgres canonical as it arrives, and lets
a Postgres replica be written with the very bytes that were digested (docs/decisions/0001-canonical-text.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Row = tuple[str | None, ...]

NULL = "\\N"

# How values are printed, whatever database and role are set to.
PRINTED: Mapping[str, str] = {
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "quote_all_identifiers": "off",
}
# The session every connection uses whose text output is taken as canonical.
SESSION: Mapping[str, str] = {"DateStyle": "ISO, YMD", "TimeZone": "UTC", "client_encoding": "UTF8", **PRINTED}

_SPECIAL = re.compile(r"[\\\t\n\r\b\f\v]")
# What COPY escapes, backslash first: each must be escaped before those whose escapes hold it.
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
_UNESCAPE = {escaped[1]: char for char, escaped in ESCAPES.items()}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def encode(row: Sequence[str | None]) -> bytes:
    """The canonical bytes of a row: a COPY text line without its newline."""
    line = "\t".join([NULL if value is None else value for value in row])
    # Nothing to escape: no tab but the separators, no backslash but those of NULLs.
    if (
        line.count("\t") == len(row) - 1
        and line.count("\\") == row.count(None)
        and "\n" not in line
        and not _has_rare_control(line)
    ):
        return line.encode()
    return _encode_each(row)


def encode_columns(columns: Sequence[Sequence[str | None]]) -> list[bytes]:
    """`encode` of each of many rows, whose values are given by columns; a third of the time."""
    nulls = [column.count(None) for column in columns]
    cells = [_without_null(column) if gaps else column for column, gaps in zip(columns, nulls, strict=True)]
    lines = "".join([f"{line}\n" for line in map("\t".join, zip(*cells, strict=True))])
    rows = len(columns[0])
    if (
        lines.count("\n") == rows
        and lines.count("\t") == rows * (len(columns) - 1)
        and lines.count("\\") == sum(nulls)
        and not _has_rare_control(lines)
    ):
        return lines.encode().split(b"\n")[:-1]
    return [encode(row) for row in zip(*columns, strict=True)]


def _without_null(column: Sequence[str | None]) -> list[str]:
    return [NULL if value is None else value for value in column]


def _has_rare_control(line: str) -> bool:
    # Four searches for one character cost less than one regular expression.
    return "\r" in line or "\b" in line or "\f" in line or "\v" in line


def _encode_each(row: Sequence[str | None]) -> bytes:
    return "\t".join(NULL if value is None else _escape(value) for value in row).encode()


def _escape(value: str) -> str:
    return _SPECIAL.sub(lambda match: ESCAPES[match.group()], value)


def decode(line: bytes) -> Row:
    """The row of a COPY text line (without its newline); the inverse of `encode`."""
    text = line.decode()
    if "\\" not in text:
        return tuple(text.split("\t"))
    return tuple(None if value == NULL else _unescape(value) for value in text.split("\t"))


def _unescape(value: str) -> str:
    return _ESCAPED.sub(lambda match: _UNESCAPE.get(match.group(1), match.group(1)), value)
