"""The audit chain: what a change, a removal, a swap and a cut leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from streams.control import audit
from streams.control.audit import (
    NO_HASH,
    Copy,
    Entry,
    Fact,
    Wrong,
    canonical,
    chain,
    flaws,
    hash_of,
    micros,
    source_of,
    verify,
)

NOON = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def trail(count: int = 6) -> list[Entry]:
    facts = [
        Fact(NOON + timedelta(seconds=n), "dana", "hold", f"cache/t{n}", "because", {"n": n}, f"s/0/{n}")
        for n in range(count)
    ]
    return [entry for entry, _ in chain(facts, 0, NO_HASH)]


def rechained(entries: list[Entry], index: int, **changes: str) -> list[Entry]:
    """The trail as somebody leaves it who changes an entry and recomputes every hash from there on."""
    made = list(entries)
    for n in range(index, len(made)):
        edited = made[n]._replace(previous=made[n - 1].hash if n else NO_HASH, **(changes if n == index else {}))
        made[n] = edited._replace(hash=hash_of(edited))
    return made


def copy(entries: list[Entry]) -> Copy:
    """A copy that can be read from any entry on."""
    return lambda after: (entry for entry in entries if entry.sequence > after)


def found(database: list[Entry], topic: list[Entry], published: int = 6) -> set[tuple[Wrong, str, int]]:
    return {(flaw.wrong, flaw.where, flaw.sequence) for flaw in verify(copy(database), topic, published).flaws}


def test_a_whole_trail_has_no_flaws() -> None:
    """Both copies whole and the same."""
    assert verify(copy(trail()), trail(), 6) == (6, 0, [])
    assert verify(copy([]), [], 0) == (0, 0, [])


@pytest.mark.parametrize("field", ["who", "what", "object", "why", "detail"])
@pytest.mark.parametrize("index", [0, 3, 5])
def test_a_changed_row_is_found_at_its_sequence(field: str, index: int) -> None:
    """Any field of any entry, without the hash being recomputed."""
    bad = trail()
    bad[index] = bad[index]._replace(**{field: "x"})
    assert (Wrong.changed, "database", index + 1) in found(bad, trail())


def test_a_changed_time_is_found() -> None:
    """One microsecond is enough."""
    bad = trail()
    bad[2] = bad[2]._replace(at=bad[2].at + timedelta(microseconds=1))
    assert found(bad, trail()) == {(Wrong.changed, "database", 3)}


def test_a_row_changed_together_with_all_hashes_after_it_is_found_by_the_topic() -> None:
    """The database's own chain is whole again; the topic still has what was written."""
    bad = rechained(trail(), 2, why="nothing to see")
    assert list(flaws(bad, "database")) == []
    assert {sequence for wrong, _, sequence in found(bad, trail()) if wrong is Wrong.differs} == {3, 4, 5, 6}


def test_a_row_changed_with_only_its_own_hash_breaks_the_link_to_the_next() -> None:
    """The entry fits itself, and the next one does not follow from it."""
    bad = trail()
    edited = bad[2]._replace(why="other")
    bad[2] = edited._replace(hash=hash_of(edited))
    assert (Wrong.changed, "database", 4) in found(bad, bad)


@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_removed_row_is_found(index: int) -> None:
    """Also the first one."""
    bad = [entry for n, entry in enumerate(trail()) if n != index]
    assert (Wrong.missing, "database", index + 1) in found(bad, trail())


def test_two_rows_that_changed_places_are_found() -> None:
    """In the database by their numbers, on the topic by their order."""
    good = trail()
    swapped = list(good)
    swapped[1] = good[2]._replace(sequence=2)
    swapped[2] = good[1]._replace(sequence=3)
    assert {(Wrong.changed, "database", 2), (Wrong.changed, "database", 3)} <= found(swapped, good)
    out_of_order = [*good[:2], good[3], good[2], *good[4:]]
    assert (Wrong.reordered, "topic", 3) in found(good, out_of_order)


def test_a_cut_off_tail_is_found_by_the_other_copy() -> None:
    """Either copy's end may be cut; the other and the mark tell."""
    assert found(trail()[:4], trail()) == {(Wrong.cut_off, "database", 5)}
    assert found(trail(), trail()[:4]) == {(Wrong.cut_off, "topic", 5)}


def test_a_tail_cut_off_both_copies_is_found_by_the_mark() -> None:
    """The outbox knows how far it was."""
    assert found(trail()[:4], trail()[:4]) == {(Wrong.cut_off, "database", 5)}


def test_entries_not_yet_published_are_no_flaw() -> None:
    """The outbox is behind, as it always is for a moment."""
    assert found(trail(), trail()[:4], 4) == set()


def test_repeats_on_the_topic_are_tolerated_only_when_they_are_the_same() -> None:
    """A publisher that was killed before it moved the mark sends entries again."""
    good = trail()
    assert found(good, [*good[:4], *good[2:]]) == set()
    other = good[2]._replace(why="other")
    assert found(good, [*good, other._replace(hash=hash_of(other))]) == {(Wrong.differs, "topic", 3)}


@pytest.mark.parametrize("remembered", [1, 10_000])
def test_a_repeat_that_was_changed_under_its_hash_is_found(monkeypatch: pytest.MonkeyPatch, remembered: int) -> None:
    """Whoever reads the topic reads the repeat as well."""
    monkeypatch.setattr(audit, "REPEATS_MAX", remembered)
    made = trail()
    assert found(made, [*made, made[2]._replace(who="mallory")]) == {(Wrong.changed, "topic", 3)}


@pytest.mark.parametrize("sequence", [0, -3])
@pytest.mark.parametrize("index", [0, 6])
def test_an_entry_before_the_first_is_out_of_its_place(sequence: int, index: int) -> None:
    """Nothing that control writes has such a number."""
    made = trail()
    stray = made[2]._replace(sequence=sequence)
    topic = [*made[:index], stray._replace(hash=hash_of(stray)), *made[index:]]
    assert found(made, topic) == {(Wrong.reordered, "topic", sequence)}


def test_repeats_that_come_later_than_is_remembered_must_be_the_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restore of a database from before many entries were acknowledged; what comes late is still told."""
    monkeypatch.setattr(audit, "REPEATS_MAX", 2)
    good = trail()
    assert found(good, [*good, *good[1:]]) == set()
    other = good[1]._replace(why="other")
    assert found(good, [*good, good[0], other._replace(hash=hash_of(other))]) == {(Wrong.differs, "both", 2)}
    late = [*good[:1], *good[2:], good[1]]
    assert found(good, late) == {(Wrong.missing, "topic", 2), (Wrong.reordered, "topic", 2)}


def test_both_copies_are_read_as_they_are_taken() -> None:
    """A trail of years is verified without being held in memory: neither copy is ever far ahead of the other."""
    taken = {"database": 0, "topic": 0}
    apart: list[int] = []

    def read(where: str, after: int = 0) -> Iterator[Entry]:
        for entry in trail(50)[after:]:
            taken[where] += 1
            apart.append(abs(taken["database"] - taken["topic"]) if taken["topic"] < 50 else 0)
            yield entry

    assert verify(partial(read, "database"), read("topic"), 50).wrong == 0
    assert max(apart) <= 2
    assert taken == {"database": 100, "topic": 50}


def test_of_many_flaws_the_first_are_named_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry of a copy may be wrong."""
    monkeypatch.setattr(audit, "FLAWS_MAX", 4)
    bad = [entry._replace(why="x") for entry in trail()]
    done = verify(copy(bad), trail(), 6)
    assert (done.entries, done.wrong, [flaw.sequence for flaw in done.flaws]) == (6, 6, [1, 2, 3, 4])


def test_the_hash_is_stable() -> None:
    """Entries written by an older version must verify for ever: this value never changes."""
    entry = Entry(1, NOON, "ä", "hold", "cache/t", "", '{"n":1}', b"", b"")
    assert micros(NOON) == 1777636800123456
    assert hash_of(entry).hex() == "394831409f50f1b75d2641fb7725504d5dad3bc4f03b45cb932f1d6be1f13388"


def test_detail_is_one_text_whatever_the_order_of_its_facts() -> None:
    """Canonical JSON: sorted, without spaces, text as it is."""
    assert canonical({"b": 1, "a": "ä"}) == '{"a":"ä","b":1}'
    assert canonical({}) == ""


def test_the_source_of_an_entry_survives_in_its_detail() -> None:
    """A trail restored from the topic still knows which records it was made of."""
    assert source_of(trail()[3]) == "s/0/3"
