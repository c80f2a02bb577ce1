"""Reading many Avro records of one schema at once: field by field, each field for all records.

Avro has no field index: to reach a field, all before it must be read. Here that is done with one reading position per
record, held in one numpy array; reading a field gives a column of values and moves all positions. What Python would do
for each value of each record is done once for each field (docs/decisions/0003-column-decoding.md).

Nothing here judges bytes: whatever does not fit raises Irregular, and the caller reads those records one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]

# A word is read wherever a position stands, so there must be one after the last record; decimals look back as well.
_MARGIN = b"\x00" * 16
_HIGH_BITS = np.uint64(0x8080808080808080)
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_ONE, _SEVEN_BITS = np.uint64(1), np.uint64(0x7F)
# Taking out the top bit of every byte, by twos, fours and eights: what is kept, what moves, by how far.
_SQUEEZES = tuple(
    (np.uint64(kept), np.uint64(moved), np.uint64(by))
    for kept, moved, by in (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
    )
)
_WORD_BYTES = 8


class Irregular(Exception):
    """Some record's bytes are not what the schema says."""


class NotColumnar(Exception):
    """The schema has a type that is not read by columns."""


class Block:
    """Encoded records, one after the other. `starts`, `ends`: where each begins and ends in `data`."""

    def __init__(self, records: Sequence[bytes]) -> None:
        sizes = np.fromiter(map(len, records), np.int64, len(records))
        self.data = b"".join((_MARGIN, *records, _MARGIN))
        self.ends: Positions = len(_MARGIN) + np.cumsum(sizes)
        self.starts: Positions = self.ends - sizes
        self.octets = np.frombuffer(self.data, np.uint8)
        self._words = np.ndarray((len(self.data) - _WORD_BYTES + 1,), "<u8", self.data, strides=(1,))

    @cached_property
    def latin(self) -> str:
        """The data with one character per byte."""
        return self.data.decode("latin-1")

    def words(self, at: Positions) -> NDArray[np.uint64]:
        """The eight bytes from each position on, the first one lowest."""
        found: NDArray[np.uint64] = self._words[at]
        return found


class Column(Protocol):
    """The values of one field, in the order of the records."""

    def values(self) -> list[Any]:
        """Python values, as a reader of single records gives them."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Integers, floating-point numbers or booleans."""

    array: NDArray[Any]

    def values(self) -> list[Any]:
        """Python numbers."""
        listed: list[Any] = self.array.tolist()
        return listed


@dataclass(frozen=True, slots=True)
class Spans:
    """Byte strings of the block, from `starts` to before `ends`."""

    block: Block
    starts: Positions
    ends: Positions

    def values(self) -> list[Any]:
        """The byte strings."""
        data = self.block.data
        return [data[start:end] for start, end in self.bounds()]

    def bounds(self) -> Iterator[tuple[int, int]]:
        """Start and end of each."""
        return zip(self.starts.tolist(), self.ends.tolist(), strict=True)


@dataclass(frozen=True, slots=True)
class Texts:
    """Text in UTF-8."""

    spans: Spans

    def values(self) -> list[Any]:
        """The texts. Raises Irregular for bytes that are no text."""
        latin = self.spans.block.latin
        # Cut out of one string, which is right where all of them are ASCII.
        cut = [latin[start:end] for start, end in self.spans.bounds()]
        if "".join(cut).isascii():
            return cut
        try:
            return [value.decode() for value in self.spans.values()]
        except UnicodeDecodeError:
            raise Irregular from None


@dataclass(frozen=True, slots=True)
class Records:
    """Nested records: their fields' columns by name."""

    fields: Mapping[str, Column]

    def values(self) -> list[Any]:
        """A mapping for each."""
        columns = [column.values() for column in self.fields.values()]
        return [dict(zip(self.fields, each, strict=True)) for each in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class Nullable:
    """A column with gaps: `present` are the values at `places`, out of `count`."""

    present: Column
    places: NDArray[np.int64]
    count: int

    def values(self) -> list[Any]:
        """The values, None in the gaps."""
        return self.spread(self.present.values())

    def spread(self, values: Sequence[Any]) -> list[Any]:
        """One value for each present one, None in the gaps."""
        spread: list[Any] = [None] * self.count
        for place, value in zip(self.places.tolist(), values, strict=True):
            spread[place] = value
        return spread


class Field(Protocol):
    """How one Avro type is read. Raises Irregular, or IndexError where a position leaves the block."""

    def read(self, block: Block, at: Positions) -> tuple[Column, Positions]:
        """The values at these positions, and the positions after them."""

    def skip(self, block: Block, at: Positions) -> Positions:
        """The positions after the values."""


class _Null:
    def read(self, block: Block, at: Positions) -> tuple[Column, Positions]:
        nothing = Numbers(np.empty(0, np.int64))
        return Nullable(nothing, nothing.array, len(at)), at

    def skip(self, block: Block, at: Positions) -> Positions:
        return at


class _Long:
    def read(self, block: Block, at: Positions) -> tuple[Column, Positions]:
        values, after = _longs(block, at)
        return Numbers(values), after

    def skip(self, block: Block, at: Positions) -> Positions:
        return _extent(block, at)[2]


@dataclass(frozen=True, slots=True)
class _Bytes:
    text: bool

    def read(self, block: Block, at: Positions) -> tuple[Column, Positions]:
        starts, ends = _counted(block, at)
        spans = Spans(block, starts, ends)
        return Texts(spans) if self.text else spans, ends

    def skip(self, block: Block, at: Positions) -> Positions:
        return _counted(block, at)[1]


@dataclass(frozen=True, slots=True)
class _Fixed:
    size: int

    def read(self, block: Block, at: Positions) -> tuple[Column, Positions]:
        return Spans(block, at, at + self.size), at + self.size

    def skip(self, block: Block, at: Positions) -> Positions:
        return at + self.size


class _Boolean:
    def read(self, block: Block, at: Positions) -> tuple[Column, Positions]:
        octets = block.octets[at]
        if (octets > 1).any():
            raise Irregular
        return Numbers(octets.astype(np.bool_)), at + 1

    def skip(self, block: Block, at: Positions) -> Positions:
        return at + 1


@dataclass(frozen=True, slots=True)
class _Float:
    unsigned: str
    floating: str
    size: int

    def read(self, block: Block, at: Positions) -> tuple[Column, Positions]:
        return Numbers(block.words(at).astype(self.unsigned).view(self.floating)), at + self.size

    def skip(self, block: Block, at: Positions) -> Positions:
        return at + self.size


@dataclass(frozen=True, slots=True)
class _Record:
    fields: tuple[tuple[str, Field], ...]

    def read(self, block: Block, at: Positions) -> tuple[Column, Positions]:
        columns, after = read_fields(self.fields, None, block, at)
        return Records(columns), after

    def skip(self, block: Block, at: Positions) -> Positions:
        for _, field in self.fields:
            at = field.skip(block, at)
        return at


@dataclass(frozen=True, slots=True)
class _Nullable:
    """A union of null and one other type; `branch` is the encoded number of the other one, one byte."""

    branch: int
    field: Field

    def read(self, block: Block, at: Positions) -> tuple[Column, Positions]:
        places = self._present(block, at)
        if len(places) == len(at):
            return self.field.read(block, at + 1)
        column, after = self.field.read(block, at[places] + 1)
        return Nullable(column, places, len(at)), self._after(at, places, after)

    def skip(self, block: Block, at: Positions) -> Positions:
        places = self._present(block, at)
        return self._after(at, places, self.field.skip(block, at[places] + 1))

    def _present(self, block: Block, at: Positions) -> NDArray[np.int64]:
        branches = block.octets[at]
        present = branches == self.branch
        if not (present | (branches == 2 - self.branch)).all():
            raise Irregular
        return np.flatnonzero(present)

    def _after(self, at: Positions, places: NDArray[np.int64], after: Positions) -> Positions:
        moved = at + 1
        moved[places] = after
        return moved


_PRIMITIVES: Mapping[str, Field] = {
    "null": _Null(),
    "boolean": _Boolean(),
    "int": _Long(),
    "long": _Long(),
    "float": _Float("<u4", "<f4", 4),
    "double": _Float("<u8", "<f8", 8),
    "bytes": _Bytes(text=False),
    "string": _Bytes(text=True),
}


class Compiler:
    """Makes readers of Avro types; remembers named types, which a schema describes once and then refers to."""

    def __init__(self) -> None:
        self._named: dict[str, Field] = {}

    def field(self, avro_type: Any) -> Field:
        """The reader of one type. Raises NotColumnar for arrays, maps, enums and unions of several types."""
        if isinstance(avro_type, list):
            return self._union(avro_type)
        described = avro_type if isinstance(avro_type, dict) else {"type": avro_type}
        kind = described["type"]
        if kind == "record":
            return self._remember(described, _Record(self.fields(described["fields"])))
        if kind == "fixed":
            return self._remember(described, _Fixed(described["size"]))
        found = _PRIMITIVES.get(kind) or self._named.get(kind) if isinstance(kind, str) else None
        if found is None:
            raise NotColumnar
        return found

    def fields(self, listed: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, Field], ...]:
        """The readers of a record's fields, with their names."""
        return tuple((each["name"], self.field(each["type"])) for each in listed)

    def _union(self, branches: list[Any]) -> Field:
        if len(branches) != 2 or branches.count("null") != 1:
            raise NotColumnar
        place = 1 - branches.index("null")
        return _Nullable(2 * place, self.field(branches[place]))

    def _remember(self, described: Mapping[str, Any], field: Field) -> Field:
        name = described["name"]
        self._named[name] = field
        if "namespace" in described:
            self._named[f"{described['namespace']}.{name}"] = field
        return field


def read_fields(
    fields: Sequence[tuple[str, Field]], wanted: frozenset[str] | None, block: Block, at: Positions
) -> tuple[dict[str, Column], Positions]:
    """The wanted ones (None: all) of consecutive fields, by name, and the positions after the last."""
    columns: dict[str, Column] = {}
    for name, field in fields:
        if wanted is None or name in wanted:
            columns[name], at = field.read(block, at)
        else:
            at = field.skip(block, at)
    return columns, at


def _extent(block: Block, at: Positions) -> tuple[NDArray[np.uint64], NDArray[np.uint64], Positions]:
    """Variable-length numbers: the words they start with, the bits of those that are theirs, the positions after."""
    words = block.words(at)
    stops = ~words & _HIGH_BITS
    # From the lowest stop bit down; where a word has none, all of its bits.
    used = stops ^ (stops - _ONE)
    after = at + (np.bitwise_count(used) >> 3)
    if not stops.all():
        longer = np.flatnonzero(stops == 0)
        after[longer] += 1 + (block.octets[after[longer]] > _SEVEN_BITS)
        if (block.octets[after[longer] - 1] > _SEVEN_BITS).any():
            raise Irregular
    return words, used, after


def _longs(block: Block, at: Positions) -> tuple[NDArray[np.int64], Positions]:
    """Numbers in Avro's zigzag encoding, and the positions after them."""
    words, used, after = _extent(block, at)
    values = words & used & _LOW_BITS
    for kept, moved, by in _SQUEEZES:
        values = (values & kept) | ((values & moved) >> by)
    sizes = after - at
    if (sizes > _WORD_BYTES).any():
        longer = np.flatnonzero(sizes > _WORD_BYTES)
        rest = block.words(at[longer] + _WORD_BYTES)
        values[longer] |= (rest & _SEVEN_BITS) << np.uint64(56)
        tenth = sizes[longer] > _WORD_BYTES + 1
        values[longer[tenth]] |= ((rest[tenth] >> np.uint64(8)) & _ONE) << np.uint64(63)
    return ((values >> _ONE) ^ (np.uint64(0) - (values & _ONE))).view(np.int64), after


def _counted(block: Block, at: Positions) -> tuple[Positions, Positions]:
    """Starts and ends of byte strings, which follow their length."""
    sizes, starts = _longs(block, at)
    if (sizes < 0).any():
        raise Irregular
    return starts, starts + sizes
