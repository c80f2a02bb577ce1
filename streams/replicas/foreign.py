"""What a store's content reads as when it is none of ours.

Somebody may write anything into a replica. `read` and `scan` never fail on it: a value that a mapping cannot have
written reads as a *foreign* text. It begins with the one character no Postgres text can hold, so it never equals a
canonical value, and names a hash of what was found, so that two reads of the same content agree and the content itself
does not travel.
"""

from __future__ import annotations

from hashlib import blake2b

from streams.rows.canonical import Row

MARK = "\x00"


def foreign(what: str, found: object) -> str:
    """The text for one value: `what` was expected, `found` was there."""
    raw = found if isinstance(found, bytes) else repr(found).encode(errors="backslashreplace")
    return f"{MARK}not {what}: {blake2b(raw, digest_size=8).hexdigest()}"


def foreign_row(what: str, found: object, width: int) -> Row:
    """A row in which no value can be trusted, as wide as the mapping's rows."""
    return (foreign(what, found),) * width


def is_foreign(row: Row) -> bool:
    """Whether any value of a row is one no mapping writes."""
    return any(value is not None and value.startswith(MARK) for value in row)
