"""Teeth: a weakened rule is noticed, each by the test that is named for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.mutants import ROOT, Mutant, killed
from tests.simulation.mutated import MUTANTS

QUICK = [one.name for one in MUTANTS if one.quick]


@pytest.mark.parametrize("name", QUICK)
def test_a_weakened_rule_is_noticed(name: str) -> None:
    """The quickest of them."""
    assert killed(name), f"{name} survived its test"


@pytest.mark.long
@pytest.mark.parametrize("name", [one.name for one in MUTANTS if not one.quick])
def test_every_weakened_rule_is_noticed(name: str) -> None:
    """All others; `make mutants` runs all."""
    assert killed(name), f"{name} survived its test"


@pytest.mark.parametrize("one", MUTANTS, ids=lambda one: one.name)
def test_what_a_mutant_replaces_is_there_once(one: Mutant) -> None:
    """Else it is found only when all of them are run."""
    source = Path(ROOT, *one.module.split(".")).with_suffix(".py").read_text()
    assert [old for old, _ in one.changes if source.count(old) != 1] == []


def test_the_document_lists_every_mutant() -> None:
    """With what it weakens and the test that kills it."""
    document = Path(ROOT, "docs", "mutants.md").read_text()
    missing = [one.name for one in MUTANTS if f"| `{one.name}` | {one.weakens} | `{one.killer}` |" not in document]
    assert not missing, f"docs/mutants.md lacks {missing}"


def test_names_are_given_once() -> None:
    """A mutant is run by its name."""
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)
