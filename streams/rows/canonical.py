"""The canonical form of a row: Postgres's own text output under one fixed session.

Every store's content, every change and every read of the SOT is brought to this form, so that two rows are equal
exactly when their canonical bytes are. A row is a tuple of texts (None is NULL) in the order of the mapping's columns.
Its bytes are the line that `COPY … TO STDOUT` prints, which makes a read of Postgres canonical as it arrives, and lets
a Postgres replica be written with the very bytes that were digested (docs/decisions/0001-canonical-text.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

Row = tuple[str | None, ...]

NULL = "\\N"

# The session every connection uses whose text output is taken as canonical.
SESSION: Mapping[str, str] = {
    "DateStyle": "ISO, YMD",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
}

_SPECIAL = re.compile(r"[\\\t\n\r\b\f\v]")
# What COPY escapes, backslash first: each must be escaped before those whose escapes hold it.
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
_UNESCAPE = {escaped[1]: char for char, escaped in ESCAPES.items()}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def encode(row: Sequence[str | None]) -> bytes:
    """The canonical bytes of a row: a COPY text line without its newline."""
    return encode_nullable(row, range(len(row)))


def encode_nullable(row: Sequence[str | None], nullable: Iterable[int]) -> bytes:
    """`encode`, where only the values at these places can be None."""
    cells, nulls = row, 0
    for place in nullable:
        if row[place] is None:
            cells = [*cells] if nulls == 0 else cells
            cells[place] = NULL  # type: ignore[index]  # it is our own list
            nulls += 1
    line = "\t".join(cells)  # type: ignore[arg-type]  # no None is left
    # Nothing to escape: no tab but the separators, no backslash but those of NULLs.
    if line.count("\t") == len(row) - 1 and line.count("\\") == nulls and not _has_control(line):
        return line.encode()
    return _encode_each(row)


def _has_control(line: str) -> bool:
    # Five searches for one character cost less than one regular expression.
    return "\n" in line or "\r" in line or "\b" in line or "\f" in line or "\v" in line


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
