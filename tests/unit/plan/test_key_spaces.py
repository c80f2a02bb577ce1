"""Redis tables of one store whose keys could be the same."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from streams.plan.contradictions import contradictions
from streams.plan.draft import Draft, Placed
from streams.plan.load import Document


def _draft(prefixes: Sequence[str]) -> Draft:
    tables = {f"public.t{index}": {"key": f"{prefix}{{id}}"} for index, prefix in enumerate(prefixes)}
    replica = {"kind": "redis", "url": {"env": "X"}, "tables": tables}
    return Draft(Document({"tables": {name: {"key": ["id"]} for name in tables}, "replicas": {"r": replica}}, {}))


def _told(prefixes: Sequence[str]) -> list[tuple[str, str]]:
    """(table, the other table its finding names)."""
    found = [problem for problem in contradictions(_draft(prefixes)) if "the same key" in problem.message]
    return [(str(problem.path[3]), problem.message.partition("tables.")[2].partition(".key")[0]) for problem in found]


@pytest.mark.parametrize(
    ("prefixes", "told"),
    [
        (["a:", "b:"], []),
        (["a:", "a:b:"], [("public.t1", "public.t0")]),
        (["a:b:", "a:"], [("public.t1", "public.t0")]),
        (["a:", "a:b:", "b:", "a:c:"], [("public.t1", "public.t0"), ("public.t3", "public.t0")]),
    ],
)
def test_the_later_table_is_told_of_the_earlier(prefixes: list[str], told: list[tuple[str, str]]) -> None:
    """Only different beginnings prove that two templates never give the same name."""
    assert _told(prefixes) == told


@pytest.mark.parametrize("seed", range(200))
def test_every_table_that_may_meet_another_is_named(seed: int) -> None:
    """As each compared with each would find it; `told` names both sides of at least one pair of theirs."""
    chance = random.Random(seed)
    prefixes = list(dict.fromkeys("".join(chance.choices("ab", k=chance.randint(1, 5))) for _ in range(12)))
    meets = {
        f"public.t{index}"
        for index, one in enumerate(prefixes)
        for other in prefixes
        if one != other and (one.startswith(other) or other.startswith(one))
    }
    assert {name for pair in _told(prefixes) for name in pair} == meets


def test_many_tables_are_compared_in_order_not_each_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every verb that loads the plan checks it."""
    asked = 0

    def store(self: Placed) -> str:
        nonlocal asked
        asked += 1
        return "store"

    monkeypatch.setattr(Placed, "store", property(store))
    assert _told([f"t{index}:" for index in range(1000)]) == []
    assert asked <= 5 * 1000
