"""Which texts a store may give back as the value of a type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.replicas.kinds import possible
from tests.unit.replicas.values import OF_TYPE


@given(st.sampled_from(sorted(OF_TYPE)).flatmap(lambda name: st.tuples(st.just(name), OF_TYPE[name])))
def test_every_canonical_text_is_possible(value: tuple[str, str]) -> None:
    """Nothing right is taken for foreign."""
    assert possible(*value)


@pytest.mark.parametrize(
    ("type_name", "text"),
    [
        ("int2", "32768"),
        ("int2", "-32769"),
        ("int4", "2147483648"),
        ("int8", "9223372036854775808"),
        ("oid", "4294967296"),
        ("oid", "-1"),
        ("int4", "007"),
        ("int4", "+1"),
        ("int4", "-0"),
        ("int4", "1.0"),
        ("int4", ""),
        ("int4", "١"),
        ("int4", "1\n"),
        ("numeric", "1.50"),
        ("numeric", "-0"),
        ("numeric", "1E+2"),
        ("numeric", ".5"),
        ("bool", "true"),
        ("bytea", "\\xAB"),
        ("bytea", "\\xabc"),
        ("uuid", "7D0AE2AE-6BD5-4F77-8D4F-0B5F3EE4A1F2"),
        ("text", "a\x00b"),
    ],
)
def test_other_spellings_are_not(type_name: str, text: str) -> None:
    """One value, one text."""
    assert not possible(type_name, text)


def test_an_oid_has_no_sign() -> None:
    """It reaches beyond int4."""
    assert possible("oid", "4294967295")
