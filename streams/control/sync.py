"""When a copy, one table of one replica, counts as in sync, and when that is news: the signal `Sync updated`. Pure.

A copy is in sync while nothing holds it, no change of it may be missing, and its lag is within the plan's bound. The
signal says that it is again, or that it is under other rules; that it goes on being so is no news.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from streams.control.lag import Lag

SIGNAL: Final = "sync-updated"
# A lag that goes up and down at its bound would be news at every look. Three looks in a row are none of those.
SETTLED: Final = timedelta(seconds=20)


class Why(StrEnum):
    """Why a copy was not in sync before: begun: it was never seen so. rules: the plan had it copied otherwise."""

    begun = "begun"
    held = "held"
    continuity = "continuity"
    lag = "lag"
    rules = "rules"


class Look(NamedTuple):
    """A copy at one moment. seconds: its lag, None where that is not known; bound: on it, in seconds.

    broken: changes of it may be missing. rules: hash of how the plan has it copied.
    """

    at: datetime
    lag: Lag
    seconds: float | None
    bound: float
    held: bool
    broken: bool
    rules: str

    @property
    def out(self) -> Why | None:
        """Why it is not in sync; None where it is, or where that is not known."""
        if not (self.lag.committed and self.lag.begun):
            return Why.begun
        if self.held:
            return Why.held
        if self.broken:
            return Why.continuity
        return Why.lag if self.seconds is not None and self.seconds > self.bound else None


class Sync(NamedTuple):
    """What is known of a copy from its looks. rules: those of the newest look.

    out: why it is not in sync, or was not before; None: it is, and that was told. since: when that began.
    within_since: from when on every look found it in sync; None: the last one did not.
    """

    rules: str
    out: Why | None
    since: datetime
    within_since: datetime | None


def follow(before: Sync | None, look: Look) -> Sync:
    """What is known after a look. One that does not know the lag neither begins nor ends anything."""
    known = before or Sync(look.rules, Why.begun, look.at, None)
    if look.out is not None:
        return _left(known, look, look.out)
    if look.rules != known.rules:
        known = _left(known, look, Why.rules)
    return known if look.seconds is None else known._replace(within_since=known.within_since or look.at)


def _left(known: Sync, look: Look, why: Why) -> Sync:
    """It is out of sync: for the first reason that there was, since then."""
    if known.out is None:
        return Sync(look.rules, why, look.at, None)
    return known._replace(rules=look.rules, within_since=None)


def is_news(known: Sync, at: datetime) -> bool:
    """Whether a copy that was out of sync is in it again, for good."""
    return known.out is not None and known.within_since is not None and at - known.within_since >= SETTLED


def told(known: Sync) -> Sync:
    """After the signal."""
    assert known.within_since is not None  # it is news
    return known._replace(out=None, since=known.within_since)


def detail_of(known: Sync, look: Look) -> dict[str, str]:
    """What the signal says beside the position."""
    return {
        "why": str(known.out),
        "since": known.since.isoformat(),
        "lag_seconds": f"{look.seconds or 0.0:.3f}",
        "lag_events": str(look.lag.events),
        "lag_bound_seconds": f"{look.bound:g}",
        "rules": look.rules,
    }
