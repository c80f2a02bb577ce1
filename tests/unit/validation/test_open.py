"""What a run that hears nothing asks about: the worker, then the store that it works on."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import HoldtrueError, NotReady, StoreUnavailable
from streams.validation import open as opening
from streams.validation.open import Opener, Pair

PAIR = Pair("lookup", "public.t")


class Store:
    """One that answers, or is away."""

    def __init__(self, *, away: bool) -> None:
        self._away = away
        self.asked = 0

    def keys(self, chunk: int) -> Iterator[list[bytes]]:
        """A portion."""
        self.asked += 1
        if self._away:
            raise StoreUnavailable("DynamoDB cannot be reached.")
        yield [b"1"]


def asked(monkeypatch: pytest.MonkeyPatch, *, worker: bool, away: bool) -> Store:
    """As a run does it when answers stay away; the store that was asked for a sign of life."""
    monkeypatch.setattr(opening, "has_members", lambda bootstrap, group, seconds: worker)
    opener: Any = Opener.__new__(Opener)
    opener.bootstrap, opener.plan = "h:1", SimpleNamespace(group=lambda replica: replica)
    store = Store(away=away)
    opener._stores = {PAIR: store}
    opener._require_answers(PAIR)
    return store


@pytest.mark.parametrize(
    ("worker", "away", "kind", "said"),
    [
        (False, False, NotReady, "No worker of lookup is running"),
        (False, True, NotReady, "No worker of lookup is running"),
        (True, True, StoreUnavailable, "DynamoDB cannot be reached"),
    ],
)
def test_who_keeps_answers_away_is_named(
    monkeypatch: pytest.MonkeyPatch, worker: bool, away: bool, kind: type[HoldtrueError], said: str
) -> None:
    """A worker that is there and silent waits for its store, when that does not answer: it is not to be looked for."""
    with pytest.raises(kind, match=said):
        asked(monkeypatch, worker=worker, away=away)


def test_who_only_takes_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker and store are there."""
    assert asked(monkeypatch, worker=True, away=False).asked == 1
