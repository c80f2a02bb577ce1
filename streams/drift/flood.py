"""Flood protection: of very many keys in drift the first are told one by one, the others as exact numbers. Pure.

A store that lost everything must not become a million records. One telling (a run, or a while of continuous checks)
names as many keys as the plan allows; those beyond are counted, by kind and cause, in one record of the table for each
kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from streams.drift.names import Names
from streams.drift.record import record

# The cause of a flood whose keys have not all the same one; each is in its `causes`.
SEVERAL: Final = "several causes"
# How often numbers that change are told; and how long the first ones wait for a look at every key, without which they
# would be low: those that are told one by one have said by then that something is wrong.
TELL_SECONDS: Final = 60.0
FIRST_SECONDS: Final = 300.0
# For how many keys it is known that they are counted, some 150 bytes each.
COUNTED_MAX: Final = 1_000_000


class Wrong(Protocol):
    """A key in drift."""

    @property
    def kind(self) -> str:
        """How it differs."""

    @property
    def cause(self) -> str:
        """Why, as far as it is known."""


W = TypeVar("W", bound=Wrong)
Beyond = Counter[tuple[str, str]]


class Telling(NamedTuple, Generic[W]):
    """What is told. each: keys that get a record of their own; beyond: how many others, by kind and cause."""

    each: Sequence[W]
    beyond: Beyond


def telling(found: Sequence[W], above: int, is_known: Callable[[W], bool] = lambda _: False) -> Telling[W]:
    """Who is told one by one, at most `above` of them, and how many are only counted.

    is_known: whether the key's drift is open already, by a record of its own. Such keys come first, and all of them:
    one that was counted, too, would be counted twice.
    """
    known: list[W] = []
    new: list[W] = []
    for wrong in found:
        (known if is_known(wrong) else new).append(wrong)
    room = max(0, above - len(known))
    return Telling((*known, *new[:room]), Counter((wrong.kind, wrong.cause) for wrong in new[room:]))


def flood_records(
    names: Names,
    beyond: Mapping[tuple[str, str], int],
    by: str,
    *,
    at: datetime,
    state: str = "open",
    whole: bool = True,
    **more: Any,
) -> Iterator[dict[str, Any]]:
    """The records of those beyond, one for each kind. more: further fields.

    by: who counts, such as "runs". Whoever counts again under the same word says how many there are now.
    whole: whether all are counted; otherwise not every key was looked at yet.
    """
    causes: dict[str, Counter[str]] = {}
    for (kind, cause), keys in beyond.items():
        causes.setdefault(kind, Counter())[cause] += keys
    for kind, counted in causes.items():
        cause = next(iter(counted)) if len(counted) == 1 else SEVERAL
        reason = f"{'' if whole else 'at least '}{counted.total()} keys beyond those that are told one by one"
        said: dict[str, Any] = {"keys": counted.total(), "causes": dict(counted), "reason": reason, **more}
        yield record(
            names.replica, names.table, kind=kind, cause=cause, state=state, at=at, place=f"flood {kind} {by}", **said
        )


class Counted:
    """The keys that one who checks all the time has only counted, and what was told of them."""

    def __init__(self) -> None:
        self._keys: dict[bytes, tuple[str, str]] = {}
        self._told: Beyond = Counter()
        self._told_at = float("-inf")
        self._begun = float("inf")

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def add(self, key: bytes, kind: str, cause: str, now: float) -> bool:
        """Count this one, which may be counted already; whether there was room."""
        if not self._keys:
            self._begun = now
        if key not in self._keys and len(self._keys) >= COUNTED_MAX:
            return False
        self._keys[key] = (kind, cause)
        return True

    def discard(self, key: bytes) -> bool:
        """Count it no more; whether it was counted."""
        return self._keys.pop(key, None) is not None

    def is_whole(self, since: float) -> bool:
        """Whether every key was looked at since the first one was counted, if every one was since this moment."""
        return since >= self._begun

    def news(self, now: float, since: float) -> tuple[Beyond, Beyond]:
        """What is to be told at this moment: the numbers as they are now, and those of kinds that are over.

        Not more often than TELL_SECONDS, but that none is left is told at once. since: as of `is_whole`.
        """
        if not self._told and not self._keys:
            return Counter(), Counter()
        numbers: Beyond = Counter(self._keys.values()) if self._may_tell(now, since) else self._told
        if numbers == self._told:
            return Counter(), Counter()
        kinds = {kind for kind, _ in numbers}
        over: Beyond = Counter({of: keys for of, keys in self._told.items() if of[0] not in kinds})
        self._told, self._told_at = numbers, now
        return numbers, over

    def _may_tell(self, now: float, since: float) -> bool:
        if not self._keys:
            return True
        is_known = self.is_whole(since) or now - self._begun >= FIRST_SECONDS
        return is_known and now - self._told_at >= TELL_SECONDS


def is_flood(known: Mapping[str, Any]) -> bool:
    """Whether a record, or a row of the control database, counts keys instead of naming one."""
    return bool(known["causes"])
