"""Why a key is in drift, as far as its sides show it."""

from __future__ import annotations

import pytest

from streams.drift.cause import Sides, explain

TOKEN, OLDER, NEWER = b"\x02", b"\x01", b"\x03"
RIGHT = ("1", "Ørsted", "12.345", "2026-05-01 10:00:00.123456+00", "0.1234567890123")
COLUMNS = ("id", "name", "price", "at", "ratio")
TYPES = ("int8", "text", "numeric", "timestamptz", "float8")


def sides(kind: str = "mismatch", store: str = "postgres", **more: object) -> Sides:
    """A key whose replica has the token of the last write, and what more says."""
    found = Sides(kind, True, TOKEN, TOKEN, RIGHT, RIGHT, COLUMNS, TYPES, store)
    return found._replace(**more)  # type: ignore[arg-type]


def with_(**values: str | None) -> tuple[str | None, ...]:
    """The right row with these values instead."""
    return tuple(values.get(column, value) for column, value in zip(COLUMNS, RIGHT, strict=True))


CASES = {
    "a change never came": (sides("stale", entry_is_right=False), "missed change", "version table"),
    "nor did one that is refused": (sides("unapplied", entry_is_right=False), "missed change", "version table"),
    "the store refused": (sides("unapplied", stored=OLDER), "refused by store", "refused"),
    "gone from redis": (sides("missing", "redis", held=None), "rogue delete, eviction or expiry", "still there"),
    "gone with its token": (
        sides("missing", "redis", held=None, stored=None), "rogue delete, eviction or expiry", "gone, too",
    ),
    "gone from postgres": (sides("missing", held=None), "rogue delete", "still there"),
    "an item gone": (sides("missing", "dynamodb", held=None, stored=None), "rogue delete", "gone, too"),
    "gone, under an older token": (sides("missing", "redis", held=None, stored=OLDER), "failover rollback", "back"),
    "an older row and token": (sides("stale", held=with_(name="x"), stored=OLDER), "failover rollback", "acknowledged"),
    "a newer token": (sides(held=with_(name="x"), stored=NEWER), "foreign token", "newer"),
    "a token that nobody gave": (sides("orphan", wanted=None, row=None), "foreign token", "newer"),
    "no token": (sides("orphan", row=None, wanted=None, stored=None), "rogue write", "no token"),
    "no token, over our row": (sides(held=with_(name="x"), stored=None), "rogue write", "no token"),
    "put back after a delete": (sides("orphan", row=None), "rogue write", "delete"),
    "right, under a token of nobody": (sides(stored=NEWER, same=True), "foreign token", "the row is right"),
    "somebody else writes it": (sides("missing", held=None, others_write=True), "other writer", "somebody else"),
    "other content": (sides(held=with_(name="Oersted")), "rogue write", "name"),
    "the same row otherwise kept": (sides(), "rogue write", "other content beside"),
    "a value that became NULL": (sides(held=with_(name=None)), "rogue write", "name"),
    "a longer text": (sides(held=with_(name="Ørsteds")), "rogue write", "name"),
    "a shorter text": (sides(held=with_(name="Ørs")), "truncated value", "beginning of the value in name"),
    "nothing left of a text": (sides(held=with_(name="")), "truncated value", "name"),
    "a rounded numeric": (sides(held=with_(price="12.35")), "precision lost", "of the same value in price"),
    "a cut numeric": (sides(held=with_(price="12.34")), "precision lost", "price"),
    "a whole number": (sides(held=with_(price="12")), "precision lost", "price"),
    "another numeric": (sides(held=with_(price="12.5")), "rogue write", "price"),
    "a numeric with more digits": (sides(held=with_(price="12.3451")), "rogue write", "price"),
    "a round number": (sides(row=with_(price="1234567"), held=with_(price="1000000")), "rogue write", "price"),
    "no number": (sides(row=with_(price="NaN")), "rogue write", "price"),
    "a float kept as real": (sides(held=with_(ratio="0.12345679")), "precision lost", "ratio"),
    "a large number as real": (
        sides(row=with_(price="123456789012"), held=with_(price="123456790000")), "precision lost", "price",
    ),
    "milliseconds": (sides(held=with_(at="2026-05-01 10:00:00.123+00")), "precision lost", "at"),
    "seconds": (sides(held=with_(at="2026-05-01 10:00:00+00")), "precision lost", "at"),
    "another moment": (sides(held=with_(at="2026-05-01 10:00:01.123+00")), "rogue write", "at"),
    "another zone": (sides(held=with_(at="2026-05-01 10:00:00.123+02")), "rogue write", "at"),
    "all less precise": (sides(held=with_(price="12.3", at="2026-05-01 10:00:00.1+00")), "precision lost", "price, at"),
    "one of several": (sides(held=with_(price="12.3", name="x")), "rogue write", "name, price"),
    "an integer's beginning": (sides(row=with_(id="123"), held=with_(id="12")), "rogue write", "id"),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "cause", "words"), CASES.values(), ids=CASES)
def test_a_cause_is_what_the_sides_show(seen: Sides, cause: str, words: str) -> None:
    """With the evidence for it, in words that have no value of the row."""
    found = explain(seen)
    assert (found.cause, words in found.evidence) == (cause, True), found
    values = {*RIGHT, *(seen.row or ()), *(seen.held or ())} - {None, "", "1", "12", "x"}
    assert not any(str(value) in found.evidence for value in values)


def test_columns_that_differ_are_named_where_both_rows_are_there() -> None:
    """By their names in the replica."""
    assert sides(held=with_(name="x", price="1")).differing == ("name", "price")
    assert sides(held=None).differing == ()
    assert sides(row=None).differing == ()
