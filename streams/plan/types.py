"""Postgres types: which are carried exactly from the log to every store, and why the others are not.

Types go by their own names (`int4`, `bpchar`, `timestamptz`); a domain goes by its base type. What is said of the
connector was seen on Debezium 3.6.3, in a snapshot and in the log alike (docs/types.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class KeyAttribute(NamedTuple):
    """One of the one or two attributes that are a DynamoDB table's key; type: N, B or S."""

    name: str
    type: str

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


# What a DynamoDB stream must show of each change: without the old image no token is larger than another.
STREAM_VIEW: Final = "NEW_AND_OLD_IMAGES"


class DynamoInfo(NamedTuple):
    """A DynamoDB table: its key, partition key first, and what its stream shows; None where it has none."""

    key: tuple[KeyAttribute, ...]
    stream: str | None = None


class Kind(StrEnum):
    """A family of types whose canonical texts are read alike."""

    integer = "integer"
    numeric = "numeric"
    float = "float"
    boolean = "boolean"
    bytes = "bytes"
    json = "json"
    time = "time"
    text = "text"


NAMES: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.integer: ("int2", "int4", "int8", "oid"),
    Kind.numeric: ("numeric",),
    Kind.float: ("float4", "float8"),
    Kind.boolean: ("bool",),
    Kind.bytes: ("bytea",),
    Kind.json: ("json", "jsonb"),
    Kind.time: ("date", "time", "timestamp", "timestamptz"),
    Kind.text: (
        *("text", "varchar", "bpchar", "uuid", "inet", "cidr", "macaddr", "macaddr8", "tsvector"),
        *("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"),
    ),
}
KIND_OF: Final = {name: kind for kind, names in NAMES.items() for name in names}
_KEY_ATTRIBUTES: Final = {Kind.integer: "N", Kind.numeric: "N", Kind.bytes: "B", Kind.boolean: None}
SUPPORTED: Final = frozenset(KIND_OF)
# Keys of these types can be asked for by key in checks and repairs: their Kafka key is known from their text.
KEY_TYPES: Final = frozenset(("int2", "int4", "int8", "text", "varchar", "uuid", "bytea", "bool"))

# Why a type is not carried, by its name.
REFUSED: Final[Mapping[str, str]] = {
    "interval": "its infinity arrives as 0, and one of more than 2^31 hours keeps the connector from going on",
    "timetz": "its offset does not arrive",
    "bit": "a long value that an update leaves alone arrives as NULL",
    "varbit": "leading zeros do not arrive, and a long value that an update leaves alone arrives as NULL",
    "money": "its text depends on lc_monetary",
    "name": "it arrives as NULL from the log",
    **dict.fromkeys(("tsquery", "jsonpath", "pg_lsn"), "the connector leaves it out of its records"),
    "xml": "it is not known to arrive exactly",
    "hstore": "it arrives as JSON",
}
# … and by what sort of type it is.
REFUSED_SORTS: Final[Mapping[str, str]] = {
    "array": "arrays of arrays, NULLs beside enums, and bounds other than 1 do not arrive",
    "composite": "the connector leaves it out of its records",
    "multirange": "the connector leaves it out of its records",
    "domain over enum": "the connector does not start in a database that has one",
}
_UNKNOWN: Final = "it is not known to arrive exactly"


# Types that not every Postgres has: of an extension, or left out when it was built. Text in a replica.
ELSEWHERE: Final = ("xml", "hstore")
# Types that print one text a value, whatever arrives of it: carried where the plan asks for them (`columns.ask`).
ASKABLE: Final = frozenset(
    (
        *("interval", "timetz", "bit", "varbit", "name", "tsquery", "jsonpath", "pg_lsn"),
        *("point", "line", "lseg", "box", "path", "polygon", "circle"),
        *ELSEWHERE,
    )
)
_ASKABLE_SORTS: Final = frozenset(("array", "composite", "multirange"))
_MULTIRANGES: Final = tuple(name.replace("range", "multirange") for name in SUPPORTED if name.endswith("range"))
_KNOWN: Final = (SUPPORTED | ASKABLE | frozenset(_MULTIRANGES)) - frozenset(ELSEWHERE)
# What every Postgres has under these names: elsewhere an array is known by an underscore.
_STORED: Final = _KNOWN | {f"_{name}" for name in _KNOWN}


def refusal(type_name: str, sort: str) -> str | None:
    """Why a column of this type is not carried by itself; None where it is.

    sort: what `catalog.ColumnInfo` says, such as `enum` or `array`.
    """
    if sort == "enum" or (type_name in SUPPORTED and not sort):
        return None
    return REFUSED_SORTS.get(sort) or REFUSED.get(type_name, _UNKNOWN)


def askable(type_name: str, sort: str, held: Iterable[str]) -> bool:
    """Whether a column of this type is carried when its values are asked of the source.

    held: the types of what an array, a composite or a multirange holds in the end, enums left out. The text of all of
    it is no better than theirs: money's depends on a setting, a regclass's on the names that tables have now.
    """
    if sort in _ASKABLE_SORTS:
        return not strange(held)
    return refusal(type_name, sort) is None or (type_name in ASKABLE and not sort)


def strange(held: Iterable[str]) -> list[str]:
    """Those of the types that are carried in no way."""
    return [name for name in held if name not in SUPPORTED | ASKABLE]


def key_attribute(type_name: str) -> str | None:
    """The type of a DynamoDB key attribute that holds such a column: N, B or S; None where no key can."""
    return _KEY_ATTRIBUTES.get(KIND_OF.get(type_name, Kind.text), "S")


def stored(type_name: str) -> str:
    """The type's name in a Postgres replica: one that only the source has made is text there."""
    return type_name if type_name in _STORED else "text"
