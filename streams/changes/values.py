"""From Debezium's Avro values to canonical text: one small function per type, chosen once per schema.

The target is Postgres's own text output (rows.canonical). The type is told by the Connect schema name that Debezium
gives, else by the Avro type (Debezium documentation, Postgres connector, data type mappings; confirmed on 3.6.3).
"""

from __future__ import annotations

import math
import re
import struct
import sys
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import ROUND_UP, Context, Decimal
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

from streams.errors import HoldtrueError
from streams.plan.mapping import Column
from streams.plan.types import NAMES, Kind

ToText = Callable[[Any], str]

# What Debezium puts where Postgres did not log an unchanged TOAST value (`unavailable.value.placeholder`).
UNAVAILABLE = "__debezium_unavailable_value"

# Postgres numerics have up to 131,072 digits before the point and 16,383 after it; Python turns 4,300 into text.
sys.set_int_max_str_digits(max(sys.get_int_max_str_digits(), 150_000))

_FLOAT4 = struct.Struct("f")
_EPOCH_DAY = date(1970, 1, 1)
_YEAR_1_DAY = 1 - _EPOCH_DAY.toordinal()
_LAST_DAY = date.max.toordinal() - _EPOCH_DAY.toordinal()
_DAYS_OF_400_YEARS = 146_097
# From here on a snapshot's dates are what they look like, but for those of 1582 BC and before.
_REFORM_DAY = (date(1582, 10, 25) - _EPOCH_DAY).days
DAY_US = 86_400_000_000
# The timestamps of the years 1 to 9999, and the first one Postgres has, 4714-11-24 BC.
FIRST_US, LAST_US = _YEAR_1_DAY * DAY_US, (_LAST_DAY + 1) * DAY_US - 1
_POSTGRES_FIRST_US = -210_866_803_200_000_000
# Infinity as Debezium sends it: a date from a snapshot, a date from the log, a timestamp from both.
_ENDLESS_DAYS = {
    -622_191_234: "infinity",
    -625_821_272: "-infinity",
    -2_147_472_692: "infinity",
    -2_147_472_691: "-infinity",
}
_ENDLESS_US = {9_223_372_036_825_200_000: "infinity", -9_223_372_036_832_400_000: "-infinity"}
_FAR = re.compile(r"([+-]?\d{4,6})-(\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d+)?)Z", re.ASCII).fullmatch


class UnknownType(HoldtrueError):
    """A column has a type that has no canonical form yet."""


def identity(value: Any) -> Any:
    """Text is canonical as it comes."""
    return value


def boolean(value: bool) -> str:
    """`t` or `f`."""
    return "t" if value else "f"


def decimal(scale: int, unscaled: bytes) -> str:
    """A numeric without trailing zeros, from its two's complement big-endian unscaled value."""
    value = int.from_bytes(unscaled, "big", signed=True)
    if scale <= 0:
        return str(value * 10**-scale)
    whole, rest = divmod(abs(value), 10**scale)
    return f"{'-' if value < 0 else ''}{whole}{fraction(scale, rest)}"


def variable_decimal(value: Mapping[str, Any]) -> str:
    """A numeric declared without a scale: the scale comes with each value."""
    return decimal(value["scale"], value["value"])


def number(text: str) -> str:
    """A numeric as Debezium's `string` mode gives it, whose words for what is not finite are Java's.

    Postgres has a negative zero no more than Java's decimals do. The placeholder of an unchanged TOAST value stays.
    """
    if (found := _NUMBER_WORDS.get(text)) is not None:
        return found
    if "E" in text:
        text = format(Decimal(text), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


_NUMBER_WORDS = {"NAN": "NaN", "POSITIVE_INFINITY": "Infinity", "NEGATIVE_INFINITY": "-Infinity"}


def float8(value: float) -> str:
    """Shortest text that reads back as the same double under every rounding, laid out as Postgres does."""
    text = repr(value)
    if "n" in text:
        return _SPECIAL[text]
    # Python turns to exponents at 1e16, Postgres at 1e15.
    if abs(value) >= 1e15:
        return _laid_out(_shortest(value, f"{Decimal(text):e}", math.nextafter), 15)
    return text if "e" in text else text.removesuffix(".0")


def float4(value: float) -> str:
    """Shortest text that reads back as the same single-precision number, laid out as Postgres does."""
    if (special := _SPECIAL.get(repr(value))) is not None:
        return special
    for digits in range(9):
        text = f"{value:.{digits}e}"
        if _FLOAT4.unpack(_FLOAT4.pack(float(text)))[0] == value:
            break
    if abs(value) >= _HALVES_FLOAT4:
        text = _shortest(value, text, _next_float4)
    if abs(math.frexp(value)[0]) == 0.5:
        text = _away_from_zero(value, text)
    return _laid_out(text, 6)


def _away_from_zero(value: float, text: str) -> str:
    """The text of a power of two, or a shorter one of a number that is farther from 0: its gap is wider there."""
    digits = _digits(text) - 1
    if digits < 0:
        return text
    shorter = f"{Context(prec=digits + 1, rounding=ROUND_UP).create_decimal(Decimal(value)):.{digits}e}"
    exact = Fraction(value)
    inside = 2 * abs(Fraction(shorter) - exact) < abs(Fraction(_next_float4(value, value * 2)) - exact)
    return shorter if inside else text


def _digits(scientific: str) -> int:
    """How many digits stand behind the point of `d.ddde±xx`."""
    return len(scientific.split("e")[0].lstrip("-").replace(".", "")) - 1


def _shortest(value: float, text: str, neighbour: Callable[[float, float], float]) -> str:
    """`text`, or with more digits where it lies midway to a neighbour, which Postgres does not print.

    `neighbour(value, towards)` is the next number of the type. Only large numbers have such texts: halfway between two
    smaller ones there are always more digits than any text needs.
    """
    if value == 0:
        return text
    exact, digits = Fraction(value), _digits(text)
    while 2 * abs(Fraction(text) - exact) >= abs(_gap(value, Fraction(text) - exact, neighbour)):
        digits += 1
        text = f"{value:.{digits}e}"
    return text


def _gap(value: float, side: Fraction, neighbour: Callable[[float, float], float]) -> Fraction:
    """How far the next number is on the side of `side`; the largest has none above, and is as far from it as below."""
    away = math.inf if side >= 0 else -math.inf
    if math.isinf(found := neighbour(value, away)):
        found = neighbour(value, -away)
    return Fraction(found) - Fraction(value)


def _next_float4(value: float, towards: float) -> float:
    """The next single-precision number; `value` is one, and not 0."""
    bits: int = struct.unpack("i", _FLOAT4.pack(value))[0]
    bits += 1 if (towards > value) == (value > 0) else -1
    found: float = _FLOAT4.unpack(struct.pack("i", bits))[0]
    return found


# From here on, numbers midway between two of single precision are integers, or nearly.
_HALVES_FLOAT4 = 2.0**22
_SPECIAL = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


def _laid_out(scientific: str, exponent_from: int) -> str:
    """`d.ddde±xx` as Postgres prints it: plain between 1e-4 and 10**exponent_from, else with an exponent."""
    mantissa, exponent_text = scientific.split("e")
    sign, mantissa = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    digits, exponent = mantissa.replace(".", "").rstrip("0") or "0", int(exponent_text)
    if not -4 <= exponent < exponent_from:
        fraction = digits[1:]
        return f"{sign}{digits[0]}{'.' + fraction if fraction else ''}e{exponent:+03d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def binary(value: bytes) -> str:
    r"""`\x` and hex digits."""
    return "\\x" + value.hex()


@lru_cache(maxsize=4096)
def day(days: int) -> str:
    """A day of the years 1 to 9999 from days since 1970-01-01."""
    return (_EPOCH_DAY + timedelta(days=days)).isoformat()


def any_day(days: int) -> tuple[str, str]:
    """Any day of Postgres's calendar, and what it prints behind the time: nothing, or that it is before Christ."""
    # The calendar repeats itself every 400 years.
    rounds, rest = divmod(days - _YEAR_1_DAY, _DAYS_OF_400_YEARS)
    within = date.fromordinal(rest + 1)
    year = within.year + 400 * rounds
    return f"{year if year > 0 else 1 - year:04}-{within:%m-%d}", "" if year > 0 else " BC"


@lru_cache(maxsize=4096)
def calendar_day(days: int) -> str:
    """A date from days since 1970-01-01.

    A snapshot sends dates before Christ as if they were after, and moves the days that the Gregorian reform left out:
    what may be one of these is as good as not sent. (Nobody can tell a date of 2024 from one of 2024 BC.)
    """
    if days >= _REFORM_DAY:
        return day(days) if days <= _LAST_DAY else any_day(days)[0]
    return _ENDLESS_DAYS.get(days, UNAVAILABLE)


def time_of_day(microseconds: int) -> str:
    """`hh:mm:ss` with as many digits of a second as are needed."""
    seconds, rest = divmod(microseconds, 1_000_000)
    minutes, second = divmod(seconds, 60)
    return f"{MINUTES[minutes]}:{TWO_DIGITS[second]}{fraction(6, rest)}"


def fraction(digits: int, value: int) -> str:
    """`value` of so many digits after the point, with the point and without trailing zeros; nothing for 0."""
    return f".{value:0{digits}}".rstrip("0") if value else ""


# Two table look-ups cost a third of formatting three numbers. 24:00 is a time of day to Postgres.
TWO_DIGITS = [f"{number:02}" for number in range(60)]
MINUTES = [f"{minutes // 60:02}:{minutes % 60:02}" for minutes in range(24 * 60 + 1)]


def timestamp(microseconds: int) -> str:
    """A timestamp without time zone from microseconds since 1970-01-01.

    Raises ValueError for a number that is none: behind the year 294246 the connector's run over.
    """
    if FIRST_US <= microseconds <= LAST_US:
        days, rest = divmod(microseconds, DAY_US)
        return f"{day(days)} {time_of_day(rest)}"
    if (endless := _ENDLESS_US.get(microseconds)) is not None:
        return endless
    if microseconds < _POSTGRES_FIRST_US:
        raise ValueError("before the first moment that Postgres has")
    days, rest = divmod(microseconds, DAY_US)
    date_text, era = any_day(days)
    return f"{date_text} {time_of_day(rest)}{era}"


def zoned(value: str) -> str:
    """A timestamp with time zone, which Debezium sends in UTC as `yyyy-mm-ddThh:mm:ss[.ffffff]Z`.

    Raises ValueError for other zones, and for what is no moment at all.
    """
    if value[4:5] != "-" or not value.endswith("Z") or value.startswith("0000"):
        return _far_zoned(value)
    return f"{value[:10]} {_trimmed(value[11:-1])}+00"


def _trimmed(seconds: str) -> str:
    """Without the zeros at a fraction's end, as Postgres prints it."""
    return seconds.rstrip("0").rstrip(".") if "." in seconds else seconds


def _far_zoned(value: str) -> str:
    """Infinity, and years before 1 (0 is 1 BC) or of more than four digits."""
    if value in ("infinity", "-infinity"):
        return value
    if (found := _FAR(value)) is None:
        raise ValueError("not a moment in UTC")
    year = int(found[1])
    return f"{year if year > 0 else 1 - year:04}-{found[2]} {_trimmed(found[3])}+00{'' if year > 0 else ' BC'}"


def _milliseconds(of: Callable[[int], str]) -> ToText:
    return lambda value: of(value * 1000)


_BY_NAME: Mapping[str, ToText] = {
    "io.debezium.time.Date": calendar_day,
    "io.debezium.time.Time": _milliseconds(time_of_day),
    "io.debezium.time.MicroTime": time_of_day,
    "io.debezium.time.Timestamp": _milliseconds(timestamp),
    "io.debezium.time.MicroTimestamp": timestamp,
    "io.debezium.time.ZonedTimestamp": zoned,
    "io.debezium.data.VariableScaleDecimal": variable_decimal,
    "io.debezium.data.Json": identity,
    "io.debezium.data.Uuid": identity,
    "io.debezium.data.Enum": identity,
    "io.debezium.data.Tsvector": identity,
}
_BY_AVRO: Mapping[str, ToText] = {
    "string": identity,
    "int": str,
    "long": str,
    "boolean": boolean,
    "float": float4,
    "double": float8,
    "bytes": binary,
}


# What a column of a type of its own arrives as, by the converter; any other is text, and so are their arrays' elements.
_FORMS: Mapping[str, tuple[ToText, ...]] = {
    **dict.fromkeys(NAMES[Kind.integer], (str,)),
    "float4": (float4,),
    "float8": (float8,),
    "bool": (boolean,),
    "bytea": (binary,),
    "date": (calendar_day,),
    "time": (time_of_day, _BY_NAME["io.debezium.time.Time"]),
    "timestamp": (timestamp, _BY_NAME["io.debezium.time.Timestamp"]),
    "timestamptz": (zoned,),
}


def is_own_form(column: Column, to_text: ToText) -> bool:
    """Whether this converter, which an arriving type asks for, is of the type that the column had at the start.

    Any is for a numeric: it may arrive as text or in several kinds of decimals.
    """
    return column.type == "numeric" or to_text in _FORMS.get(column.type, (identity,))


def converter(column: Column, avro_type: Any) -> ToText:
    """The function for the values, other than NULL, of one column's Avro type (a union with null, or the type itself).

    A numeric comes as text, or as a decimal from a connector with `decimal.handling.mode=precise`.
    Raises UnknownType, naming the column, for a type that has no canonical form yet.
    """
    plain = next(branch for branch in avro_type if branch != "null") if isinstance(avro_type, list) else avro_type
    described = plain if isinstance(plain, dict) else {"type": plain}
    name = described.get("connect.name", "")
    if name == "org.apache.kafka.connect.data.Decimal" or described.get("logicalType") == "decimal":
        return partial(decimal, int(described.get("scale", 0)))
    if column.type == "numeric" and described["type"] == "string":
        return number
    found = _BY_NAME.get(name) or (None if name else _BY_AVRO.get(described["type"]))
    if found is None:
        raise UnknownType(
            f"Column {column.name} arrives as {name or described['type']}, which has no canonical form yet.",
            "Leave the column out of the mapping (columns.omit).",
        )
    return found
