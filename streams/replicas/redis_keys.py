"""The Redis keys of a table: where a row's value lies, and its token beside it in the same hash slot."""

from __future__ import annotations

from streams.plan.mapping import Shape
from streams.plan.template import KeyTemplate, glob_of
from streams.replicas.base import Refused
from streams.replicas.kinds import possible
from streams.rows.canonical import decode, encode

RESERVED = "holdtrue:"


class UnusableKey(Exception):
    """A row's key for which no pair of Redis keys can be made; the message names no value."""


class RedisKeys:
    """Turns a row's key (canonical bytes) into Redis keys, and Redis keys found by SCAN back.

    template: literal text with each key column of the SOT once in braces; None is `<table>:{first}:{second}…`.
    Raises `Refused` for a template with which two rows could share a key.
    """

    def __init__(self, shape: Shape, template: str | None) -> None:
        text = template or ":".join((shape.table, *(f"{{{column}}}" for column in shape.key_columns)))
        self._columns = shape.key_columns
        self._types = tuple(shape.source_columns[index].type for index in shape.key_index)
        self._template = _parsed(text, self._columns)
        self._side = f"{RESERVED}{shape.table}:"
        if "{" in self._side:
            raise Refused(f"The table name {shape.table!r} holds a brace.", "Redis Cluster takes it for a slot's name.")
        self.glob = self._template.glob()
        # Of the tokens of all rows.
        self.token_glob = f"{glob_of(self._side)}*"

    def pair(self, key: bytes) -> tuple[str, str]:
        """The keys of a row's value and of its token. Raises UnusableKey."""
        name = self._template.name(self._columns, [value or "" for value in decode(key)])
        if name.startswith(RESERVED):
            raise UnusableKey(f"its Redis key would begin with {RESERVED!r}, where tokens lie")
        if "{" not in name and "}" not in name:
            return name, f"{self._side}{{{name}}}"
        return name, self._with_tag(name)

    def row_key(self, found: bytes) -> bytes | None:
        """The canonical key of the row a Redis key is for; None when no row of this table has that Redis key."""
        try:
            name = found.decode()
            values = self._template.key(self._columns, name)
            # Only what can be a row's key counts: `account:07` and `account:total` belong to somebody else.
            if values is None or not all(map(possible, self._types, values)):
                return None
            key = encode(values)
            return key if self.pair(key)[0] == name else None
        except (UnicodeDecodeError, UnusableKey):
            return None

    def is_token(self, found: bytes) -> bool:
        """Whether a Redis key is that of the token of a row of this table, under this template."""
        try:
            text = found.decode().removeprefix(self._side)
        except UnicodeDecodeError:
            return False
        tagged = text.partition("}:")[2]
        return any(self._has_token(name, found.decode()) for name in (text[1:-1], tagged))

    def _has_token(self, name: str, token_key: str) -> bool:
        key = self.row_key(name.encode())
        return key is not None and self.pair(key)[1] == token_key

    def _with_tag(self, name: str) -> str:
        """The token's key where the value's key has braces: Redis Cluster hashes what the first pair encloses."""
        _, opened, rest = name.partition("{")
        tag, closed, _ = rest.partition("}")
        if opened and closed and tag:
            return f"{self._side}{{{tag}}}:{name}"
        if "}" in name:
            raise UnusableKey("its braces leave no Redis Cluster slot that its token could share")
        return f"{self._side}{{{name}}}"


def _parsed(text: str, columns: tuple[str, ...]) -> KeyTemplate:
    try:
        template = KeyTemplate.parse(text)
    except ValueError as error:
        raise Refused(f"The Redis key template {text!r} {error}.", "Correct `key` in the plan.") from None
    missing = template.misses(columns)
    if missing or len(template.columns) != len(columns):
        needed = ", ".join(columns)
        raise Refused(f"The Redis key template {text!r} must name exactly the key columns: {needed}.", "Correct `key`.")
    if not any(template.literals):
        raise Refused(f"The Redis key template {text!r} has no text of its own.", "Begin it with the table's name.")
    return template
