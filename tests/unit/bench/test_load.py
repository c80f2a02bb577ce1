"""What the load changes, and what it hands over and leaves alone."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest

from streams.bench import subject
from streams.bench.load import Handed, Load, Wish

ROWS, COLD = 400, range(8, 401, 8)


class Sot:
    """Keeps keys as the SOT would, and what was done to them."""

    def __init__(self) -> None:
        self.rows = dict.fromkeys(range(1, ROWS + 1), 0)
        self.done: list[tuple[str, list[int]]] = []
        self.last: Counter[int] = Counter()

    def transaction(self) -> Any:
        return nullcontext()

    def insert(self, _: object, __: str, keys: list[int], revision: int) -> None:
        assert not self.rows.keys() & set(keys)
        self._note("insert", keys, revision)

    def change(self, _: object, keys: list[int], revision: int) -> None:
        assert self.rows.keys() >= set(keys)
        self._note("change", keys, revision)

    def delete(self, _: object, keys: list[int]) -> None:
        assert self.rows.keys() >= set(keys)
        self.done.append(("delete", keys))
        for key in keys:
            del self.rows[key]

    def _note(self, what: str, keys: list[int], revision: int) -> None:
        self.done.append((what, keys))
        self.rows.update(dict.fromkeys(keys, revision))


@pytest.fixture
def sot(monkeypatch: pytest.MonkeyPatch) -> Sot:
    made = Sot()
    for name in ("insert", "change", "delete"):
        monkeypatch.setattr(subject, name, getattr(made, name))
    return made


def some(load: Load, sot: Sot, times: int) -> None:
    for _ in range(times):
        load._transaction(sot)


def test_it_inserts_updates_and_deletes_but_the_cold_keys(sot: Sot) -> None:
    """Keys that are there, or are not, as each statement needs; a few of them again and again."""
    load = Load("", ROWS, COLD, 1_000, seed=1)
    some(load, sot, 300)
    touched = Counter(key for _, keys in sot.done for key in keys)
    assert {what for what, _ in sot.done} == {"insert", "change", "delete"}
    assert not touched.keys() & set(COLD)
    assert touched.total() == load.changes
    assert {key for key, _ in touched.most_common(10)} <= set(load._hot)


@pytest.mark.parametrize("wish", Wish)
def test_a_key_that_is_handed_over_is_as_wished_and_left_alone(sot: Sot, wish: Wish) -> None:
    """Nothing that is planted there is repaired by a later change."""
    load = Load("", ROWS, COLD, 1_000, seed=2)
    load.wish(wish)
    while not load.handed:
        some(load, sot, 1)
    handed: Handed = load.handed.popleft()
    assert handed.wish is wish
    assert sot.rows.get(handed.key) == (None if wish is Wish.deleted else handed.revision)
    sot.done.clear()
    some(load, sot, 500)
    assert handed.key not in {key for _, keys in sot.done for key in keys}


def test_it_leaves_alone_what_it_is_told_to(sot: Sot) -> None:
    """Also keys that it changes more often than others, and those that it would insert again."""
    load = Load("", ROWS, COLD, 1_000, seed=3)
    some(load, sot, 100)
    keys = {key for _, touched in sot.done for key in touched if key % 2}
    load.leave_alone(keys)
    sot.done.clear()
    some(load, sot, 300)
    assert not keys & {key for _, touched in sot.done for key in touched}


def test_a_deleted_key_that_is_handed_over_was_never_there_twice(sot: Sot) -> None:
    """Of another one nobody could tell which of its deletes the replica has seen."""
    load = Load("", ROWS, COLD, 1_000, seed=4)
    some(load, sot, 400)
    for _ in range(20):
        load.wish(Wish.deleted)
    while len(load.handed) < 20:
        some(load, sot, 1)
    deletes = Counter(key for what, keys in sot.done for key in keys if what == "delete")
    assert {deletes[handed.key] for handed in load.handed} == {1}
