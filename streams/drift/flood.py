"""Flood protection: of very many keys in drift the first are told one by one, the others as exact numbers. Pure.

A store that lost everything must not become a million records. One telling (a run, or a while of continuous checks)
names as many keys as the plan allows; those beyond are counted, by kind and cause, in one record of each partition and
kind. Whoever counts the keys of a partition, a run or its owner, says so in the same record: the newest number is the
number, and none is added to another one of the same keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from streams.drift.identity import drift_id
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
    """What is told. each: keys that get a record of their own; beyond: those that are only counted."""

    each: Sequence[W]
    beyond: Sequence[W]


def telling(found: Sequence[W], above: int, is_known: Callable[[W], bool] = lambda _: False) -> Telling[W]:
    """Who is told one by one, at most `above` of them, and who is only counted.

    is_known: whether the key's drift is open already, by a record of its own. Such keys come first, and all of them:
    one that was counted, too, would be counted twice.
    """
    known: list[W] = []
    new: list[W] = []
    for wrong in found:
        (known if is_known(wrong) else new).append(wrong)
    room = max(0, above - len(known))
    return Telling((*known, *new[:room]), new[room:])


def flood_records(
    names: Names,
    beyond: Mapping[tuple[str, str], int],
    partition: int,
    *,
    at: datetime,
    state: str = "open",
    whole: bool = True,
    **more: Any,
) -> Iterator[dict[str, Any]]:
    """The records of those beyond in one partition, one for each kind. more: further fields.

    Whoever counts again says how many there are now.
    whole: whether all are counted; otherwise not every key was looked at yet.
    """
    causes: dict[str, Counter[str]] = {}
    for (kind, cause), keys in beyond.items():
        causes.setdefault(kind, Counter())[cause] += keys
    for kind, counted in causes.items():
        cause = next(iter(counted)) if len(counted) == 1 else SEVERAL
        reason = f"{'' if whole else 'at least '}{counted.total()} keys beyond those that are told one by one"
        place = _place(kind, partition)
        said: dict[str, Any] = {"keys": counted.total(), "causes": dict(counted), "reason": reason, **more}
        yield record(names.replica, names.table, kind=kind, cause=cause, state=state, at=at, place=place, **said)


def flood_id(names: Names, kind: str, partition: int) -> str:
    """The id of the record that counts the keys of one kind in a partition."""
    return drift_id(names.replica, names.table, _place(kind, partition))


def _place(kind: str, partition: int) -> str:
    return f"flood {kind} partition {partition}"


def larger(one: Beyond, other: Beyond) -> Beyond:
    """Of each kind the numbers of whom has more of it: who has not looked at every key says no less than was known."""
    kinds = {kind for kind, _ in (*one, *other)}
    most = {kind: max((one, other), key=lambda numbers: _of_kind(numbers, kind).total()) for kind in kinds}
    return sum((_of_kind(numbers, kind) for kind, numbers in most.items()), Beyond())


def _of_kind(numbers: Beyond, kind: str) -> Beyond:
    return Counter({of: keys for of, keys in numbers.items() if of[0] == kind})


class Counted:
    """The keys of a partition that one who checks all the time has only counted, by the ids of their drift.

    window: seconds in which every key, of the replica's own, too, is looked at. goes_on: whether somebody counted
    before, who is no more.

    What others have told of the partition is taken over (`heard`). Until every key was looked at since, a number of
    theirs is not made smaller: of what they counted, some was not found again yet.
    """

    def __init__(self, window: float, now: float, *, goes_on: bool = False) -> None:
        self._window = window
        self._keys: dict[str, tuple[str, str]] = {}
        self._told: Beyond = Counter()
        self._told_at = float("-inf")
        self._begun = now
        self._is_ours = not goes_on
        # Whoever counted before has told what it had to tell before this began.
        self._is_heard = not goes_on

    def __contains__(self, drift: str) -> bool:
        return drift in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def is_over(self) -> bool:
        """Whether nothing is counted, and nothing is told that has not ended."""
        return self._is_ours and not self._keys and not self._told

    @property
    def is_ours(self) -> bool:
        """Whether what is told was counted here. If not, of keys in drift it is not known which are counted already."""
        return self._is_ours

    def goes_on(self, now: float) -> None:
        """Others have counted, and what they say was not heard yet."""
        self._is_ours, self._begun = False, now

    def add(self, drift: str, kind: str, cause: str, now: float) -> bool:
        """Count this one, which may be counted already; whether there was room."""
        if self.is_over:
            self._begun = now
        if drift not in self._keys and len(self._keys) >= COUNTED_MAX:
            return False
        self._keys[drift] = (kind, cause)
        return True

    def discard(self, drift: str) -> bool:
        """Count it no more; whether it was counted."""
        return self._keys.pop(drift, None) is not None

    def named(self, drift: str) -> None:
        """It has a record of its own now: a number in which it was counted is told anew at once."""
        if self.discard(drift):
            self._told_at = float("-inf")

    def heard(self, told: Beyond, named: Container[str], now: float) -> None:
        """What is told of this partition by now, by whomever, and which drift has records of its own: not counted."""
        if not self._is_heard:
            self._is_heard, self._told = True, told
        elif told != self._told:
            self._told, self._is_ours, self._begun = told, False, now
        for drift in [drift for drift in self._keys if drift in named]:
            del self._keys[drift]

    def is_whole(self, since: float) -> bool:
        """Whether every key was looked at since the first one was counted, if every one was since this moment."""
        return since >= self._begun

    def is_due(self, now: float, since: float) -> bool:
        """Whether it is time to hear what is told, and to tell. since: as of `is_whole`.

        Not more often than TELL_SECONDS; but at once that none is left of what was told from here, or one is named.
        """
        if not self._keys and (self._is_ours or not self._told):
            return bool(self._told) if self._is_ours else self._is_sure(now, since)
        is_known = self.is_whole(since) or now - self._begun >= FIRST_SECONDS
        return is_known and now - self._told_at >= TELL_SECONDS

    def news(self, now: float, since: float) -> tuple[Beyond, Beyond]:
        """What is to be told at this moment: the numbers as they are now, and those of kinds that are over."""
        numbers: Beyond = Counter(self._keys.values())
        if self._is_ours or self._is_sure(now, since):
            self._is_ours = True
        else:
            numbers = larger(numbers, self._told)
        self._told_at = now
        if numbers == self._told:
            return Counter(), Counter()
        kinds = {kind for kind, _ in numbers}
        over: Beyond = Counter({of: keys for of, keys in self._told.items() if of[0] not in kinds})
        self._told = numbers
        return numbers, over

    def _is_sure(self, now: float, since: float) -> bool:
        """Whether whatever is wrong was found here."""
        return self.is_whole(since) and now - self._begun >= self._window


def is_flood(known: Mapping[str, Any]) -> bool:
    """Whether a record, or a row of the control database, counts keys instead of naming one."""
    return bool(known["causes"])
