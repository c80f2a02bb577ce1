"""A row as a DynamoDB item, and back.

Integers and numerics are N, booleans BOOL, NULL is NULL, bytea is B, everything else its canonical text as S. What
DynamoDB cannot hold exactly is refused for that key alone, before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from streams.plan.mapping import Shape
from streams.plan.types import key_attribute
from streams.replicas.base import Held, Refused
from streams.replicas.foreign import foreign, foreign_row
from streams.replicas.kinds import is_plain_number, possible
from streams.rows.canonical import Row, decode, encode
from streams.rows.types import Kind, kind_of
from streams.versions.entry import Token

Attribute = Mapping[str, Any]
Item = dict[str, Any]

ITEM_BYTES_MAX: Final = 400 * 1024
DIGITS_MAX: Final = 38
_KEY_BYTES_MAX: Final = (2048, 1024)  # of a partition key, of a sort key
_LARGEST, _SMALLEST = 125, -130  # exponents of the first digit of a number
_IS_TOKEN: Final = re.compile("[0-9a-f]{32}").fullmatch


class Unstorable(Exception):
    """DynamoDB cannot hold this row; the message says why without naming a value."""


@dataclass(frozen=True, slots=True)
class Names:
    """The attributes that are ours beside the row's own; the plan may rename them."""

    token: str = "holdtrue_token"  # noqa: S105 - an attribute's name
    dead: str = "holdtrue_dead"
    expires: str = "holdtrue_expires"


class ItemForm:
    """Encodes and reads the items of one table. Raises `Refused` when the table's key cannot be DynamoDB's."""

    def __init__(self, shape: Shape, names: Names) -> None:
        self.names = names
        self._columns = shape.target_columns
        self._types = tuple(column.type for column in shape.source_columns)
        self._key_index = shape.key_index
        self.key_types = _key_types(shape, self._types)
        _check_names(shape, names)
        self._write = [_writer(name, type_name) for name, type_name in zip(self._columns, self._types, strict=True)]
        self._read = [_reader(type_name) for type_name in self._types]
        self._known = {*self._columns, names.token, names.dead, names.expires}

    def live(self, row: Row, token: Token) -> Item:
        """The item of a row. Raises Unstorable."""
        item: Item = {
            name: {"NULL": True} if text is None else write(text)
            for name, write, text in zip(self._columns, self._write, row, strict=True)
        }
        self._check_key(item)
        item[self.names.token] = {"S": token.encode().hex()}
        if item_bytes(item) > ITEM_BYTES_MAX:
            raise Unstorable(f"an item may have {ITEM_BYTES_MAX} bytes, this one would have {item_bytes(item)}")
        return item

    def tombstone(self, key: bytes, token: Token, expires_seconds: int) -> Item:
        """The item of a deleted row, which DynamoDB removes some time after `expires_seconds` (Unix time)."""
        return {
            **self.key(key),
            self.names.token: {"S": token.encode().hex()},
            self.names.dead: {"BOOL": True},
            self.names.expires: {"N": str(expires_seconds)},
        }

    def key(self, key: bytes) -> Item:
        """The key attributes of a row. Raises Unstorable."""
        texts = decode(key)
        item = {
            self._columns[index]: self._write[index](text or "")
            for index, text in zip(self._key_index, texts, strict=True)
        }
        self._check_key(item)
        return item

    def row_key(self, item: Item) -> bytes | None:
        """The canonical key of an item; None when no row of the table can have it (1.5 where keys are integers)."""
        texts = [self._read[index](item[self._columns[index]]) for index in self._key_index]
        types = [self._types[index] for index in self._key_index]
        return encode(texts) if all(map(possible, types, texts)) else None

    def held(self, item: Item) -> Held:
        """What an item says; never fails: what no row of this table is reads as foreign."""
        dead = self.names.dead in item
        return Held(self.token(item), None if dead else self._row(item))

    def token(self, item: Item) -> Token | None:
        """The token of an item; an attribute that is none of ours counts as no token."""
        found = item.get(self.names.token, {}).get("S", "")
        return Token.decode(bytes.fromhex(found)) if _IS_TOKEN(found) else None

    def _row(self, item: Item) -> Row:
        if not item.keys() <= self._known or self.names.expires in item:
            return foreign_row("a row of this table", sorted(item), len(self._columns))
        return tuple(
            None if (found := item.get(name, {})) == {"NULL": True} else read(found)
            for name, read in zip(self._columns, self._read, strict=True)
        )

    def _check_key(self, item: Item) -> None:
        for index, most in zip(self._key_index, _KEY_BYTES_MAX, strict=False):
            column = self._columns[index]
            value = item[column]
            size = _value_bytes(value)
            if size == 0:
                raise Unstorable(f"its key column {column!r} is empty, which DynamoDB does not allow")
            if size > most:
                raise Unstorable(f"its key column {column!r} has {size} bytes, DynamoDB allows {most}")


def item_bytes(item: Item) -> int:
    """The size DynamoDB counts for an item: names and values."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Attribute) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content) if content.isascii() else len(content.encode())
    if kind == "N":  # two digits a byte, one for the exponent, one for the sign of a negative number
        return (len(content) + 1) // 2 + 2
    return len(content) if kind == "B" else 1


def _writer(column: str, type_name: str) -> Callable[[str], Item]:
    kind = kind_of(type_name)
    if kind is Kind.integer:
        return lambda text: {"N": text}
    if kind is Kind.numeric:
        return lambda text: {"N": _storable_number(column, text)}
    if kind is Kind.boolean:
        return lambda text: {"BOOL": text == "t"}
    if kind is Kind.bytes:
        return lambda text: {"B": bytes.fromhex(text[2:])}
    return lambda text: {"S": text}


def _storable_number(column: str, text: str) -> str:
    if text.endswith(("NaN", "Infinity")):
        raise Unstorable(f"{column!r} is no finite number, which DynamoDB cannot hold")
    if not is_plain_number(text):  # its zeros would not come back, and read as drift for ever
        raise Unstorable(f"the number in {column!r} is not in canonical form")
    digits = text.replace(".", "").strip("-0")
    if len(digits) > DIGITS_MAX:
        raise Unstorable(f"the number in {column!r} has {len(digits)} digits, DynamoDB holds {DIGITS_MAX}")
    if digits and not _SMALLEST <= Decimal(text).adjusted() <= _LARGEST:
        raise Unstorable(f"the number in {column!r} is beyond the magnitudes DynamoDB holds")
    return text


def _reader(type_name: str) -> Callable[[Attribute], str]:
    kind = kind_of(type_name)
    if kind in (Kind.integer, Kind.numeric):
        return lambda found: _number(type_name, found)
    if kind is Kind.boolean:
        return lambda found: _of(found, "BOOL", bool, lambda value: "t" if value else "f")
    if kind is Kind.bytes:
        return lambda found: _of(found, "B", bytes, lambda value: "\\x" + value.hex())
    return lambda found: _of(found, "S", str, lambda value: foreign("text", value) if "\x00" in value else value)


def _of(found: Attribute, kind: str, expected: type, text: Callable[[Any], str]) -> str:
    value = found.get(kind)
    return text(value) if isinstance(value, expected) else foreign(f"of type {kind}", found)


def _number(type_name: str, found: Attribute) -> str:
    text = _of(found, "N", str, plain_number)
    return text if possible(type_name, text) else foreign(f"a value of type {type_name}", found)


def plain_number(text: str) -> str:
    """A DynamoDB number in Postgres's form: no exponent, no zeros that say nothing."""
    if is_plain_number(text):
        return text
    try:
        plain = format(Decimal(text), "f")
    except InvalidOperation:
        return foreign("a number", text)
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain


def _key_types(shape: Shape, types: tuple[str, ...]) -> dict[str, str]:
    """Key attribute name → DynamoDB type, partition key first."""
    if len(shape.key_index) > 2:
        raise Refused(
            f"The key of {shape.table} has {len(shape.key_index)} columns; a DynamoDB key has at most two.",
            "Keep this table in another kind of replica.",
        )
    found: dict[str, str] = {}
    for index in shape.key_index:
        column, attribute = shape.target_columns[index], key_attribute(types[index])
        if attribute is None:
            raise Refused(
                f"The key column {column!r} of {shape.table} is a {types[index]}, which no DynamoDB key can be.",
                "Keep this table in another kind of replica.",
            )
        found[column] = attribute
    return found


def _check_names(shape: Shape, names: Names) -> None:
    ours = (names.token, names.dead, names.expires)
    taken = sorted(set(ours) & set(shape.target_columns))
    if taken or len(set(ours)) < len(ours):
        raise Refused(
            f"The attribute {(taken or list(ours))[0]!r} of {shape.table} is needed twice.",
            "Rename the column, or the attribute that holds the token.",
        )
