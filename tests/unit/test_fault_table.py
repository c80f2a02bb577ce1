"""The fault table: its page is what was measured, its faults are faults, and a cell not as expected is named."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from tests.faulttable.cells import Cell, Planted, Run, by_counts, by_itself, by_run, differing
from tests.faulttable.faults import FAULTS, Fault, Victim, named
from tests.faulttable.hands import Copy, Row, raised
from tests.faulttable.layers import Effect, Layer, Store
from tests.faulttable.page import FILE, load, page
from tests.faulttable.scene import KEY_STEP, same
from tests.faulttable.table import cold_keys, keys_of, rounds_of
from tests.faulttable.watch import Told

NOW: Row = {
    "id": "5", "revision": "1", "customer": "7", "product": "article 0123456789", "status": "packed",
    "express": "true", "ordered_at": "2024-01-01 00:00:05", "changed_at": "2024-01-02 00:00:07.75+00",
    "total": "1.30", "note": "change 5",
}  # fmt: skip
BEFORE: Row = {**NOW, "revision": "0", "status": "new"}
OTHER: Row = {**NOW, "id": "10", "product": "article of another"}


def test_the_page_is_generated_from_the_figures_that_are_committed() -> None:
    """`python -m tests.faulttable --render` writes it anew."""
    assert FILE.with_suffix(".md").read_text() == page(load())


def test_the_page_has_every_fault_and_says_which_were_not_measured() -> None:
    text = page(load())
    assert all(f"\n| {fault.name} | {fault.what} |" in text for fault in FAULTS)
    unmeasured = {fault.name for fault in FAULTS} - load()["faults"].keys()
    assert all(f"\n* {name}\n" in text for name in unmeasured)


def test_what_is_in_the_figures_is_a_fault_of_the_code_and_as_expected() -> None:
    figures = load()
    assert figures["faults"].keys() <= {fault.name for fault in FAULTS}
    assert [said for each in figures["rounds"].values() for said in each["wrong"]] == []


def test_there_are_at_least_twenty_faults_each_with_keys_of_its_own() -> None:
    keys = [key for fault in FAULTS for many in keys_of(fault, 4) for key in many]
    assert len(FAULTS) == len({fault.name for fault in FAULTS}) >= 20
    assert len(keys) == len(set(keys)) == len(cold_keys())
    assert all(key % KEY_STEP == 0 for key in keys), "DynamoDB must have them, too"


class OneRow:
    """Hands in a store of one row, its token an int."""

    def __init__(self, row: Row | None) -> None:
        self.rows: dict[int, Row | None] = {5: row}
        self.token: Any = 2

    def copy(self, key: int) -> Copy:
        return Copy(key, self.rows.get(key), self.token)

    def write(self, key: int, row: Row | None) -> None:
        self.rows[key] = row

    def set_token(self, key: int, token: Any) -> None:
        self.token = token

    def foreign(self, token: Any) -> Any:
        return token + 1_000

    def together(self) -> AbstractContextManager[object]:
        return nullcontext()

    def close(self) -> None:
        """Nothing is open."""


AT_STORE = [fault for fault in FAULTS if fault.at_store and fault.stores == tuple(Store)]


@pytest.mark.parametrize("fault", AT_STORE, ids=lambda fault: fault.name)
def test_what_is_done_to_a_store_leaves_what_it_says(fault: Fault) -> None:
    """Another row, none, or one too many; never the row that must be there."""
    hands = OneRow(None if fault.dead else NOW)
    victim = Victim(5, Copy(5, BEFORE, 1), OTHER)
    assert fault.at_store is not None
    fault.at_store(hands, victim)
    found = hands.rows.get(victim.stranger if fault.stranger else 5)
    assert (found is None) == (fault.effect is Effect.missing)
    assert found != NOW
    assert found is None or found["id"] == str(victim.stranger if fault.stranger else 5)
    assert not fault.stranger or hands.rows[5] == NOW


def test_a_raised_token_is_larger_than_any_of_ours() -> None:
    assert raised(bytes(16)) == b"\0\0\0\0\0\1" + bytes(10)
    assert len(raised(bytes(16))) == 16


@pytest.mark.parametrize(
    ("name", "layer", "sees"),
    [
        ("lost update", Layer.scrub, False),
        ("lost update", Layer.full, True),
        ("lost delete", Layer.sweep, False),
        ("rogue update", Layer.counts, False),
        ("rogue insert", Layer.sweep, True),
        ("token raised", Layer.log, True),
        ("duplicated changes", Layer.guard, True),
    ],
)
def test_expectations_are_those_of_the_documentation(name: str, layer: Layer, sees: bool) -> None:
    """What continuous checking cannot see is not expected of it."""
    (fault,) = named([name])
    assert fault.expected(Store.postgres)[layer] is sees


def test_a_layer_that_does_not_look_at_such_keys_is_not_asked() -> None:
    assert Layer.log not in named(["rogue update"])[0].expected(Store.redis)
    assert Layer.read_back not in named(["rogue insert"])[0].expected(Store.postgres)
    assert Layer.scrub not in named(["missed delete"])[0].expected(Store.postgres)


def told(state: str, at: float, key: int = 5, run: str | None = None) -> Told:
    return Told("postgres_scrub", key, "mismatch", state, at, run)


PLANTED = [Planted("postgres_scrub", key, 100.0, Layer.scrub) for key in (5, 10)]


def test_a_layer_has_seen_what_was_told_after_the_fault_and_by_no_run() -> None:
    """An earlier life of the drift, a run's word, and another key's do not count."""
    events = [told("open", 90), told("resolved", 95), told("open", 101, run="r"), told("open", 104),
              told("resolved", 106), told("open", 107, key=15)]  # fmt: skip
    assert by_itself(PLANTED, events) == Cell(2, 1, 4.0, 6.0)


def test_a_run_has_seen_what_it_has_told_itself() -> None:
    runs = [Run(Layer.full, "postgres_scrub", "mine", "drifted", 110.0, 2.0)]
    events = [told("open", 112, run="mine"), told("open", 113, 10, "other")]
    assert by_run(PLANTED, runs, events) == Cell(2, 1, 2.0)


def test_counts_have_seen_what_they_count_to_the_row() -> None:
    """Another number would be that of other rows; equal numbers say nothing of what is in the rows."""
    drifted = [Run(Layer.counts, "postgres_steady", "c", "drifted", 110.0, 2.0, -6)]
    correct = [Run(Layer.counts, "postgres_steady", "c", "correct", 110.0, 2.0)]
    unknown = [Run(Layer.counts, "postgres_steady", "c", "incomplete", 110.0, 2.0, -6)]
    assert by_counts(3, -6, drifted) == Cell(3, 3, 2.0)
    assert by_counts(3, -3, drifted) == by_counts(3, 0, correct) == Cell(3, 0)
    assert by_counts(3, -6, unknown) == Cell(3, 0, undecided=1)


def test_a_row_too_many_is_never_looked_at_beside_one_that_is_missing() -> None:
    """Their numbers would add up to nothing; and what came through the stream is waited for."""
    for faults in rounds_of(FAULTS).values():
        assert len({fault.is_of_stream for fault in faults}) == 1
        assert not {Effect.missing, Effect.orphan} <= {fault.effect for fault in faults}


def test_a_cell_that_is_not_as_expected_is_named() -> None:
    """Seen in part is not seen; a sample may have drawn none of the keys."""
    expected = {Layer.scrub: True, Layer.log: False, Layer.sample: True, Layer.full: True}
    cells = {Layer.scrub: Cell(3, 2), Layer.log: Cell(3, 1), Layer.sample: Cell(3, 0), Layer.full: Cell(3, 3)}
    assert list(differing("it", Store.redis, expected, cells)) == [
        "it, redis, scrub: 2 of 3 seen, all expected", "it, redis, log: 1 of 3 seen, none expected",
    ]  # fmt: skip


def test_a_layer_of_which_nothing_was_measured_is_empty_on_the_page() -> None:
    cells = {"scrub": {"planted": 3, "found": 3, "detected_seconds": 4.5, "resolved_seconds": 6.0},
             "counts": {"planted": 1, "found": 0},
             "log": {"planted": 3, "found": 2, "detected_seconds": 1.0}}  # fmt: skip
    fault = {"measured": "2026-01-01", "stores": {"postgres": cells}, "round": "store: wrong"}
    each = {"measured": "2026-01-01", "false_positives": 0, "changes_per_second": 990, "seconds": 30, "wrong": []}
    figures = {"faults": {"rogue update": fault}, "rounds": {"store: wrong": each},
               "machine": "m", "command": "c", "rows": 1, "rate": 1_000,
               "scrub_period": 15, "keys": 3, "dynamodb_rows": 400}  # fmt: skip
    text = page(figures)
    assert "\n| rogue update | 4.5 → 6.0 s | 2/3: 1.0 s | not seen |\n" in text
    assert "## Redis" not in text


def test_both_sides_are_compared_as_values() -> None:
    """The stores write moments and numerics in their own ways."""
    shown = {"total": "1.3", "changed_at": "2024-01-02T00:00:07.75+00:00", "express": True, "id": 5}
    assert same(shown, {"total": "1.30", "changed_at": "2024-01-02 00:00:07.75+00", "express": "true", "id": "5"})
    assert not same(shown, {**{name: str(value) for name, value in shown.items()}, "total": "1.31"})
    assert same(None, None)
    assert not same(shown, None)
