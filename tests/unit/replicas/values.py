"""Canonical texts of every kind of type the stores tell apart, for property tests."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=8).map(
    _plain
)


def integers(bits: int) -> st.SearchStrategy[str]:
    half = 1 << (bits - 1)
    return st.integers(-half, half - 1).map(str)


OF_TYPE: dict[str, st.SearchStrategy[str]] = {
    "int2": integers(16),
    "int4": integers(32),
    "int8": integers(64),
    "numeric": NUMBERS,
    "bool": st.sampled_from(["t", "f"]),
    "bytea": st.binary(max_size=40).map(lambda raw: "\\x" + raw.hex()),
    "float8": st.floats().map(repr),
    "text": TEXT,
    "bpchar": TEXT,
    "uuid": st.uuids().map(str),
    "jsonb": TEXT,
    "timestamptz": st.datetimes().map(lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}+00"),
    "an_enum": TEXT,
}


def rows() -> st.SearchStrategy[tuple[str | None, ...]]:
    """Rows with one column of each type, any of them NULL but the first."""
    first, *others = OF_TYPE.values()
    return st.tuples(first, *(st.none() | each for each in others))
