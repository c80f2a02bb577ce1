"""A change of an item is ours if it raises the token: whatever the item was before, and whatever becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.replicas import log
from streams.replicas.dynamodb_changes import note_foreign
from streams.replicas.dynamodb_items import Item, ItemForm, Names
from streams.replicas.log import Foreign
from streams.rows.canonical import encode
from streams.versions.entry import Token
from tests.unit.replicas.shapes import shape_of

FORM = ItemForm(shape_of({"id": "int4", "note": "text"}, ["id"]), Names())
KEY = encode(["7"])
OLD, NEW = Token(1, 5, 0), Token(1, 6, 0)
ALIEN: Item = {"id": {"N": "7"}, "note": {"S": "theirs"}, "holdtrue_token": {"S": "mine"}}


def _live(token: Token | None, note: str = "a") -> Item:
    item = FORM.live(("7", note), token or OLD)
    if token is None:
        del item["holdtrue_token"]
    return item


def _dead(token: Token) -> Item:
    return FORM.tombstone(KEY, token, 99)


def _record(old: Item | None, new: Item | None, key: str = "7") -> dict[str, Any]:
    images = {name: item for name, item in (("OldImage", old), ("NewImage", new)) if item is not None}
    return {"dynamodb": {"Keys": {"id": {"N": key}}, "SequenceNumber": "1", **images}}


def _foreign(*records: dict[str, Any]) -> Foreign:
    found = Foreign()
    note_foreign(found, FORM, records)
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, _live(NEW)),
        (_live(OLD), _live(NEW, "b")),
        (_live(OLD), _live(NEW)),
        (_live(None), _live(NEW)),
        (ALIEN, _live(NEW)),
        (_live(OLD), _dead(NEW)),
        (_dead(OLD), _live(NEW)),
        (None, _dead(NEW)),
        (_dead(OLD), None),
    ],
    ids=["put", "changed", "stamped higher", "adopted", "over an alien", "deleted", "again", "never seen", "expired"],
)
def test_what_raises_the_token_is_ours(old: Item | None, new: Item | None) -> None:
    """And the end of a tombstone, which DynamoDB brings about itself."""
    assert not _foreign(_record(old, new)).keys


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (_live(NEW), _live(NEW, "b")),
        (_live(NEW), _live(OLD, "b")),
        (_live(NEW), _live(OLD)),
        (_live(NEW), _live(None, "b")),
        (None, _live(None)),
        (_live(NEW), ALIEN),
        (_live(NEW), None),
        (_live(None), None),
        (_live(NEW), _dead(NEW)),
        (_dead(NEW), _live(NEW)),
        (_dead(NEW), _live(None)),
        (_dead(NEW), _dead(NEW) | {"note": {"S": "x"}}),
    ],
    ids=["under our token", "older", "token lowered", "token lost", "added", "alien token", "removed",
         "their own removed", "buried", "risen", "risen without", "written into a tombstone"],
)  # fmt: skip
def test_everything_else_is_somebody_elses(old: Item | None, new: Item | None) -> None:
    """Whether or not the row is wrong then: its owner looks."""
    assert _foreign(_record(old, new)).keys == {KEY}


TOKENS = st.none() | st.builds(Token, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))


@given(TOKENS, TOKENS, st.booleans(), st.booleans())
def test_only_a_larger_token_explains_a_write(old: Token | None, new: Token | None, was: bool, dead: bool) -> None:
    """By the order of tokens, and by nothing else."""
    before = None if not was else _live(old)
    after = _dead(new) if dead and new is not None else _live(new, "b")
    ours = new is not None and (before is None or old is None or new > old)
    assert bool(_foreign(_record(before, after)).keys) == (not ours)


def test_a_key_that_no_row_can_have_is_left_to_the_reverse_sweep() -> None:
    """No owner has it."""
    assert not _foreign(_record(None, None, "1.5")).keys


def test_more_keys_than_can_be_named_are_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not kept one by one."""
    monkeypatch.setattr(log, "FOREIGN_KEYS_MAX", 2)
    many = [_record(None, {"id": {"N": str(n)}, "note": {"S": "x"}}, str(n)) for n in range(3)]
    found = _foreign(*many)
    assert (found.keys, found.everything) == (set(), True)
