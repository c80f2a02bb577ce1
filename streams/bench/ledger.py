"""What was planted, what was told of it on the drift topic, and what was told of keys that nobody touched. Pure.

A fault counts as found when its drift reaches `open`. Every other event that reaches `open` is kept for the judge, who
reads both sides: what is right there was a false positive.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams.bench import subject
from streams.drift.lifecycle import ENDED, State

# Beyond these only their number is known: a checker that reports everything must not fill our memory.
OPENED_MAX: Final = 10_000


@dataclass(slots=True)
class Planted:
    """A key that was made wrong. Moments are seconds since 1970.

    at: just before the statement that did it. opened: as the event says; heard: when our reader had it. ended: by
    `resolved` or `superseded`.
    """

    key: int
    kind: str
    fault: str
    at: float
    opened: float | None = None
    heard: float | None = None
    ended: float | None = None
    # It was right again although nobody had reported it.
    healed: bool = False

    @property
    def detection_seconds(self) -> float | None:
        """From planting to `open`; None while it was not found."""
        return None if self.opened is None else self.opened - self.at

    @property
    def heard_seconds(self) -> float | None:
        """From planting to the moment the event was read from the topic."""
        return None if self.heard is None else self.heard - self.at

    @property
    def ended_seconds(self) -> float | None:
        """From planting to the end of its drift."""
        return None if self.ended is None else self.ended - self.at


@dataclass(frozen=True, slots=True)
class Opened:
    """An event that reached `open` without a fault behind it. key: None for drift of the table as a whole.

    again: of a key whose planted drift had ended. told: what the event says of it, for whoever looks into it.
    """

    key: int | None
    again: bool
    told: Mapping[str, str | None]


@dataclass(slots=True)
class Ledger:
    """Both sides of the account. Used by several threads."""

    planted: dict[int, Planted] = field(default_factory=dict)
    # Not yet looked at by the judge.
    unjudged: list[Opened] = field(default_factory=list)
    # Opened without a fault, those that there was no room for included.
    stray: int = 0
    opened_again: int = 0
    _strangers: set[int | None] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plant(self, fault: Planted) -> None:
        """Note a fault, before it is done."""
        with self._lock:
            self.planted[fault.key] = fault

    def take(self, event: Mapping[str, Any], heard: float) -> None:
        """Take in an event of the drift topic."""
        state, key, at = State(event["state"]), _key(event), event["at"].timestamp()
        with self._lock:
            fault = self.planted.get(key) if key is not None else None
            if state is State.open:
                self._open(event, key, fault, at, heard)
            elif state in ENDED:
                self._end(key, fault, at)

    def _open(self, event: Mapping[str, Any], key: int | None, fault: Planted | None, at: float, heard: float) -> None:
        if fault is not None and fault.ended is None and at >= fault.at:
            if fault.opened is None:
                fault.opened, fault.heard = at, heard
            return
        if key in self._strangers:
            return  # the same life of it, seen once more
        self._strangers.add(key)
        self.stray += 1
        again = fault is not None and fault.ended is not None
        self.opened_again += again
        if len(self.unjudged) < OPENED_MAX:
            self.unjudged.append(Opened(key, again, _told(event)))

    def _end(self, key: int | None, fault: Planted | None, at: float) -> None:
        self._strangers.discard(key)
        if fault is not None and fault.opened is not None and fault.ended is None:
            fault.ended = at

    def to_judge(self) -> list[Opened]:
        """What was opened without a fault since this was asked last."""
        with self._lock:
            taken, self.unjudged = self.unjudged, []
        return taken

    def faults(self) -> list[Planted]:
        """All that was planted so far."""
        with self._lock:
            return list(self.planted.values())

    def unfound(self) -> Iterator[Planted]:
        """Planted, and nothing told of it."""
        return (fault for fault in self.faults() if fault.opened is None and not fault.healed)


def _key(event: Mapping[str, Any]) -> int | None:
    key = event.get("key")
    return int(key[subject.KEY]) if key else None


def _told(event: Mapping[str, Any]) -> dict[str, str | None]:
    """Names, positions and digests: no value of a row is in any of them."""
    names = ("id", "kind", "cause", "run", "reason", "entry_token", "replica_token", "entry_digest", "replica_digest")
    return {"at": event["at"].isoformat(), **{name: _text(event.get(name)) for name in names}}


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.hex()
    return None if value is None else str(value)
