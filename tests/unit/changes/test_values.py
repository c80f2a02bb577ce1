"""Avro values become the text that Postgres prints."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.changes import values
from streams.changes.values import UNAVAILABLE, UnknownType, converter
from streams.plan.mapping import Column


def named(name: str, avro: str = "long", **more: object) -> dict[str, object]:
    return {"type": avro, "connect.name": name, **more}


PLAIN, NUMERIC = Column("c", "text"), Column("n", "numeric")
DECIMAL = named("org.apache.kafka.connect.data.Decimal", "bytes", scale=2, logicalType="decimal")


@pytest.mark.parametrize(
    ("avro", "value", "text"),
    [
        ("int", -7, "-7"),
        ("long", 9223372036854775807, "9223372036854775807"),
        ("boolean", True, "t"),
        ("boolean", False, "f"),
        ("string", "as it is\t", "as it is\t"),
        ("bytes", b"\x00\xff", "\\x00ff"),
        (DECIMAL, (12345).to_bytes(2, "big"), "123.45"),
        (DECIMAL, (12340).to_bytes(2, "big"), "123.4"),
        (DECIMAL, (12300).to_bytes(2, "big"), "123"),
        (DECIMAL, (5).to_bytes(1, "big"), "0.05"),
        (DECIMAL, (-5).to_bytes(1, "big", signed=True), "-0.05"),
        (DECIMAL, (-12300).to_bytes(3, "big", signed=True), "-123"),
        (DECIMAL, b"\x00", "0"),
        ({**DECIMAL, "scale": 0}, b"\x0a", "10"),
        ({**DECIMAL, "scale": -2}, b"\x0a", "1000"),
        (named("io.debezium.data.VariableScaleDecimal", "record"), {"scale": 3, "value": b"\x04\xd2"}, "1.234"),
        (named("io.debezium.time.Date", "int"), 0, "1970-01-01"),
        (named("io.debezium.time.Date", "int"), -1, "1969-12-31"),
        (named("io.debezium.time.MicroTime"), 0, "00:00:00"),
        (named("io.debezium.time.MicroTime"), 86_400_000_000, "24:00:00"),
        (named("io.debezium.time.MicroTime"), 3_723_000_400, "01:02:03.0004"),
        (named("io.debezium.time.Time", "int"), 3_723_040, "01:02:03.04"),
        (named("io.debezium.time.MicroTimestamp"), 1_704_218_887_612_230, "2024-01-02 18:08:07.61223"),
        (named("io.debezium.time.MicroTimestamp"), -1, "1969-12-31 23:59:59.999999"),
        (named("io.debezium.time.Timestamp"), 1_704_218_887_000, "2024-01-02 18:08:07"),
        (
            named("io.debezium.time.ZonedTimestamp", "string"),
            "2024-01-04T15:12:03.250000Z",
            "2024-01-04 15:12:03.25+00",
        ),
        (named("io.debezium.time.ZonedTimestamp", "string"), "2024-01-04T15:10:00.000000Z", "2024-01-04 15:10:00+00"),
        (named("io.debezium.time.ZonedTimestamp", "string"), "2024-01-04T15:10:00Z", "2024-01-04 15:10:00+00"),
        (named("io.debezium.data.Uuid", "string"), "6f2c", "6f2c"),
    ],
)
def test_a_value_becomes_the_text_postgres_prints(avro: object, value: object, text: str) -> None:
    """One line of Postgres output per type, with the edges of its layout."""
    assert converter(PLAIN, avro)(value) == text


@pytest.mark.parametrize(("avro", "value"), [("int", 5), ("string", "x"), ("bytes", b"x"), (DECIMAL, b"x")])
def test_a_nullable_column_converts_as_its_type_does(avro: object, value: object) -> None:
    """It is a union with null, in either order; a NULL itself is never converted."""
    plain = converter(PLAIN, avro)(value)
    assert converter(PLAIN, ["null", avro])(value) == converter(PLAIN, [avro, "null"])(value) == plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (0.1, "0.1"), (1e15, "1e+15"), (123456789012345.0, "123456789012345"),
        (1e-4, "0.0001"), (1e-5, "1e-05"), (1.5e300, "1.5e+300"), (5e-324, "5e-324"), (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"), (float("nan"), "NaN"), (1234567890123456.7, "1.2345678901234568e+15"),
        (9007199254740993.0, "9.007199254740992e+15"),
    ],
)  # fmt: skip
def test_a_double_is_laid_out_as_postgres_does(value: float, text: str) -> None:
    """Texts as `SELECT x::float8` prints them under extra_float_digits = 1."""
    assert values.float8(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (16777216.0, "1.6777216e+07"),
        (999999.0, "999999"),
        (1e6, "1e+06"),
        (3.4028235e38, "3.4028235e+38"),
    ],
)
def test_a_single_is_laid_out_as_postgres_does(value: float, text: str) -> None:
    """Texts as `SELECT x::float4` prints them; Avro gives the single widened to a double."""
    single = struct.unpack("f", struct.pack("f", value))[0]
    assert values.float4(single) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_reads_back_as_the_same_number(value: float) -> None:
    """Nothing is lost by the text."""
    assert float(values.float8(value)) == value


@given(st.integers(-(10**30), 10**30), st.integers(0, 20))
def test_a_decimal_is_exact_and_trimmed(unscaled: int, scale: int) -> None:
    """Every digit survives, no zero is left at the end, and there is no exponent."""
    encoded = unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
    text = values.decimal(scale, encoded)
    assert Fraction(text) == Fraction(unscaled, 10**scale)
    assert "." not in text or not text.endswith(("0", "."))


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("NAN", "NaN"), ("POSITIVE_INFINITY", "Infinity"), ("NEGATIVE_INFINITY", "-Infinity"),
        ("0", "0"), ("0.00", "0"), ("-0.50", "-0.5"), ("100", "100"), ("1200.00", "1200"), ("-7.000000000", "-7"),
        ("0.00000000000000000001", "0.00000000000000000001"), ("1E-7", "0.0000001"), ("1.50E+3", "1500"),
        (f"1{'0' * 200}.10", f"1{'0' * 200}.1"), (UNAVAILABLE, UNAVAILABLE),
    ],
)  # fmt: skip
def test_a_numeric_that_comes_as_text(sent: str, text: str) -> None:
    """The connector's words for what is not finite become Postgres's; zeros that say nothing go, digits never."""
    assert converter(NUMERIC, ["null", "string"])(sent) == text


def test_a_numeric_may_still_come_as_a_decimal() -> None:
    """Topics of connectors that ran under `decimal.handling.mode=precise` hold them; other text is text."""
    assert converter(NUMERIC, DECIMAL)((12340).to_bytes(2, "big")) == "123.4"
    assert converter(PLAIN, "string")("1.50") == "1.50"


def test_a_type_without_canonical_form_is_refused_by_name() -> None:
    """A guess would be a silent difference; the column is named with what to do."""
    with pytest.raises(UnknownType, match=r"Column area arrives as io\.debezium\.data\.geometry\.Point"):
        converter(Column("area", "point"), named("io.debezium.data.geometry.Point", "record"))


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("infinity", "infinity"), ("-infinity", "-infinity"),
        ("+294276-12-31T23:59:59.999999Z", "294276-12-31 23:59:59.999999+00"),
        ("+12000-01-01T00:00:00.000000Z", "12000-01-01 00:00:00+00"),
        ("-0043-03-15T12:34:56.780000Z", "0044-03-15 12:34:56.78+00 BC"),
        ("0000-12-31T00:00:00Z", "0001-12-31 00:00:00+00 BC"), ("-4712-01-01T00:00:00Z", "4713-01-01 00:00:00+00 BC"),
    ],
)  # fmt: skip
def test_moments_far_away(sent: str, text: str) -> None:
    """Java counts a year 0, which Postgres calls 1 BC, and puts a sign before years of other than four digits."""
    assert values.zoned(sent) == text


@pytest.mark.parametrize("value", ["2024-01-04T15:12:03+02:00", "+2024-01", "soon", ""])
def test_what_is_no_moment_in_utc_is_refused(value: str) -> None:
    """A text that only looks right would be a silent difference."""
    with pytest.raises(ValueError, match="not a moment"):
        values.zoned(value)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (9_223_372_036_825_200_000, "infinity"), (-9_223_372_036_832_400_000, "-infinity"),
        (-63_517_778_703_211_000, "0044-03-15 12:34:56.789 BC"), (-62_167_219_200_000_000, "0001-01-01 00:00:00 BC"),
        (-62_135_596_800_000_000, "0001-01-01 00:00:00"), (253_402_300_799_999_999, "9999-12-31 23:59:59.999999"),
        (253_402_300_800_000_000, "10000-01-01 00:00:00"), (316_516_204_800_000_000, "12000-01-01 00:00:00"),
        (-210_866_803_200_000_000, "4714-11-24 00:00:00 BC"), (2**63 - 1, "294247-01-10 04:00:54.775807"),
    ],
)  # fmt: skip
def test_timestamps_far_away(sent: int, text: str) -> None:
    """Infinity, before Christ, years of more than four digits: as Postgres prints them."""
    assert values.timestamp(sent) == text


def test_a_timestamp_that_overran_is_refused() -> None:
    """294276-12-31 does not fit into 64 bits of microseconds since 1970: it arrives as a moment Postgres has not."""
    with pytest.raises(ValueError, match="before the first"):
        values.timestamp(-9_223_372_036_853_775_810)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (-622_191_234, "infinity"), (-625_821_272, "-infinity"), (-2_147_472_692, "infinity"),
        (-2_147_472_691, "-infinity"), (2_932_896, "9999-12-31"), (2_932_897, "10000-01-01"),
        (2_145_042_905, "5874897-12-31"), (-141_417, "1582-10-25"), (-141_418, UNAVAILABLE), (-703_383, UNAVAILABLE),
    ],
)  # fmt: skip
def test_dates_far_away(sent: int, text: str) -> None:
    """A date before the Gregorian reform may be another one, which only the SOT knows."""
    assert converter(PLAIN, named("io.debezium.time.Date", "int"))(sent) == text
