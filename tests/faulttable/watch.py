"""The drift topic, heard from outside as anybody could, and what it says of a key since a moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from streams.bench.subject import KEY
from streams.control.topic import TopicReader

STOP_SECONDS: Final = 30.0
ENDED: Final = frozenset({"resolved", "superseded"})


@dataclass(frozen=True, slots=True)
class Told:
    """One event. at: seconds since 1970, as it says. key: None for drift of the table as a whole."""

    replica: str
    key: int | None
    kind: str
    state: str
    at: float
    run: str | None
    reason: str | None = None


class Watch:
    """A thread that keeps every event. Use as a context manager."""

    def __init__(self, reader: TopicReader) -> None:
        self._reader = reader
        self._told: list[Told] = []
        self._stopped = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="watch")

    def told(self) -> list[Told]:
        """All of them so far. Raises what ended the thread."""
        if self._failed is not None:
            raise self._failed
        return list(self._told)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(STOP_SECONDS)
        self._reader.close()

    def _run(self) -> None:
        try:
            for event in self._reader.follow(from_beginning=True):
                if self._stopped.is_set():
                    return
                if event is not None:
                    self._told.append(_told(event))
        except BaseException as error:
            self._failed = error


def _told(event: dict[str, Any]) -> Told:
    key = event.get("key")
    return Told(
        event["replica"], int(key[KEY]) if key else None, event["kind"], event["state"], event["at"].timestamp(),
        event.get("run"), event.get("reason"),
    )  # fmt: skip


def opened(told: list[Told], replica: str, key: int | None, since: float, run: str | None) -> float | None:
    """When this key was first said to be in drift since then: by that run, or, without one, by the worker."""
    of_key = (each for each in told if (each.replica, each.key, each.run) == (replica, key, run))
    return next(_moments(of_key, since, {"open"}), None)


def ended(told: list[Told], replica: str, key: int | None, since: float) -> float | None:
    """When its drift was first said to be over since then."""
    return next(_moments((each for each in told if (each.replica, each.key) == (replica, key)), since, ENDED), None)


def _moments(told: Iterator[Told], since: float, states: frozenset[str] | set[str]) -> Iterator[float]:
    return (each.at for each in told if each.state in states and each.at >= since)
