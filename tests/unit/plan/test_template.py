"""Key templates: one name for one key, whatever the key holds."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streams.plan.template import KeyTemplate

TEXT = st.text(alphabet="ab:%2-5A*[", max_size=6) | st.text(max_size=6)


@pytest.mark.parametrize(
    "bad", ["", "account", "a:{id", "a:id}", "a:{{id}}", "a:{x}{y}", "a:{x}-1-{y}", "a:{x}%{y}", "a:{x}:{x}"]
)
def test_ambiguous_templates_are_refused(bad: str) -> None:
    """No column, broken braces, columns that could run into each other."""
    with pytest.raises(ValueError, match=r"."):
        KeyTemplate.parse(bad)


def test_a_single_value_is_used_as_it_is() -> None:
    """What a reader expects: no escaping without need."""
    template = KeyTemplate.parse("account:{aid}")
    assert template.name(["aid"], ["a:b%"]) == "account:a:b%"
    assert template.key(["aid"], "account:a:b%") == ("a:b%",)
    assert template.key(["aid"], "teller:1") is None


@given(st.tuples(TEXT, TEXT), st.tuples(TEXT, TEXT))
def test_two_keys_never_share_a_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Separators inside values are escaped."""
    assume(one != other)
    template = KeyTemplate.parse("x:{b}:{a}-y")
    assert template.name(["a", "b"], one) != template.name(["a", "b"], other)


@given(st.tuples(TEXT, TEXT))
def test_a_name_gives_its_key_back(key: tuple[str, str]) -> None:
    """A sweep over the replica's names finds the rows they stand for."""
    template = KeyTemplate.parse("x:{b}:{a}-y")
    name = template.name(["a", "b"], key)
    assert template.key(["a", "b"], name) == key


def test_the_glob_matches_names_and_escapes_literals() -> None:
    """What SCAN is asked for covers every name."""
    assert KeyTemplate.parse("x*:{a}").glob() == r"x\*:*"
    template = KeyTemplate.parse("acc:{a}:{b}")
    assert fnmatch.fnmatchcase(template.name(["a", "b"], ["1", "2"]), template.glob())
