"""Which changes in a replica's log are ours: those with a newer token of their key in the same transaction."""

from __future__ import annotations

import pytest

from streams.checks import explained
from streams.checks.explained import Explained

KEY, OTHER = b"1", b"2"
OLD, NEW = b"\\x01", b"\\x02"


def _seen() -> Explained:
    return Explained(writes_content=True)


def test_a_row_with_a_newer_token_is_ours_in_whatever_order() -> None:
    """Also the first token of a key, and a delete."""
    seen = _seen()
    seen.changed(KEY)
    seen.token(KEY, OLD, NEW, dead=False)
    seen.token(OTHER, None, NEW, dead=True)
    seen.changed(OTHER)
    assert seen.foreign() == set()


def test_a_row_without_a_token_is_somebody_elses() -> None:
    """That another key's token was written explains nothing."""
    seen = _seen()
    seen.token(OTHER, OLD, NEW, dead=True)
    seen.changed(KEY)
    assert seen.foreign() == {KEY}


@pytest.mark.parametrize("token", [OLD, NEW])
def test_a_token_that_does_not_grow_explains_nothing(token: bytes) -> None:
    """It was copied, or put back; the guard writes larger ones only."""
    seen = _seen()
    seen.token(KEY, NEW, token, dead=False)
    seen.changed(KEY)
    assert seen.foreign() == {KEY}


def test_a_newer_token_whose_row_was_not_written_is_looked_at() -> None:
    """But for a delete, which may find nothing to remove, and where there is nothing beside the key to write."""
    seen, bare = _seen(), Explained(writes_content=False)
    for each in (seen, bare):
        each.token(KEY, OLD, NEW, dead=False)
        each.token(OTHER, OLD, NEW, dead=True)
    assert seen.foreign() == {KEY}
    assert bare.foreign() == set()


def test_tokens_of_the_dead_are_ours_to_forget() -> None:
    """Those of rows that are there are not."""
    seen = _seen()
    seen.forgotten(OTHER, dead=True)
    assert seen.foreign() == set()
    seen.forgotten(KEY, dead=False)
    assert seen.foreign() == {KEY}


def test_a_truncate_means_every_key() -> None:
    """None is named."""
    seen = _seen()
    seen.changed(KEY)
    seen.emptied()
    assert seen.everything
    assert seen.foreign() == set()


def test_more_than_can_be_named_means_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, whatever one transaction does."""
    monkeypatch.setattr(explained, "KEYS_MAX", 3)
    seen = _seen()
    for number in range(3):
        seen.changed(b"%d" % number)
    assert not seen.everything
    seen.changed(b"3")
    assert seen.everything
