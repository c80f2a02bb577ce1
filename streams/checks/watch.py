"""Keys under watch: every digest they have, also of changes that were reduced away within a batch.

A key that changes all the time is never still between two fences; but if the SOT's digest is one that the key had
between them, the stream has delivered it (design, Validation). Each run sees only what was noted since its own watch
began; a run that was killed never ends its watch, which is forgotten after a time.

Where somebody else writes the replica, it is also remembered when a key had which digest, and what the replica held at
the last look (`checks.others`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from streams.checks.others import Judgement, Look, judge

# Per partition. A run watches what its first round could not decide; more than this stays undecided and is reported.
KEYS_MAX = 20_000
# Of all keys together, some 100 bytes each: a key that is changed hundreds of times a second needs them for seconds.
# Beyond that a key's oldest are forgotten, which may leave it undecided, never wrongly right.
DIGESTS_MAX = 200_000
# A watch that was not asked about for so long belongs to a run that is no more, or whose requests wait behind those of
# others: what moves then stays undecided. A round under watch is a fence and one request for each partition.
SECONDS_MAX = 900.0


class Noted(NamedTuple):
    """A digest that a key had from the record at `offset` on. BEFORE is any before the watch, or NO_RECORD.

    at: when that was applied here, or the watch began.
    """

    offset: int
    digest: bytes | None
    at: float


BEFORE = -1
# Of what no record says: the source was asked for it. It explains what somebody else has written, and proves nothing of
# what the stream has delivered.
NO_RECORD = 1 << 63


class _Run:
    """The keys one run watches."""

    def __init__(self, now: float) -> None:
        self.keys: dict[bytes, deque[Noted]] = {}
        # What was not right at the last look of those that somebody else writes.
        self.looks: dict[bytes, Look] = {}
        self.asked_at = now


class Watch:
    """The watched keys of one partition."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._runs: dict[str, _Run] = {}
        self._clock = clock
        self._noted = 0

    def __bool__(self) -> bool:
        return bool(self._runs)

    @property
    def keys(self) -> set[bytes]:
        """The watched keys, of all runs."""
        return {key for run in self._runs.values() for key in run.keys}

    def begin(self, run: str, current: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Watch keys for a run, given with the digests they have now.

        How many could not be taken because too many are watched.
        """
        self._forget_abandoned()
        watched = self._runs.setdefault(run, _Run(self._clock()))
        room = KEYS_MAX - sum(len(each.keys) for each in self._runs.values())
        left_out = 0
        for key, digest in current:
            if key in watched.keys:
                continue
            if room <= 0:
                left_out += 1
                continue
            watched.keys[key] = deque([Noted(BEFORE, digest, self._clock())])
            self._noted += 1
            room -= 1
        return left_out

    def note(self, key: bytes, offset: int, digest: bytes | None) -> None:
        """A key has this digest from the record at `offset` on, or of NO_RECORD; what is not watched is passed over."""
        for run in self._runs.values():
            if (noted := run.keys.get(key)) is not None:
                if offset == NO_RECORD and noted[-1].digest == digest:
                    continue
                noted.append(Noted(offset, digest, self._clock()))
                if self._noted >= DIGESTS_MAX:
                    noted.popleft()
                else:
                    self._noted += 1

    def seen(self, run: str, key: bytes, begin: int, end: int) -> Collection[bytes | None]:
        """The digests that a key had at a moment between the offsets: its last before `begin`, and those before `end`.

        Nothing for a key that the run does not watch.
        """
        watched = self._runs.get(run)
        if watched is None:
            return ()
        watched.asked_at = self._clock()
        last: tuple[bytes | None, ...] = ()
        between: list[bytes | None] = []
        for offset, digest, _ in watched.keys.get(key, ()):
            if offset < begin:
                last = (digest,)
            elif offset < end:
                between.append(digest)
        return (*last, *between)

    def known(self, run: str, key: bytes) -> Collection[bytes | None]:
        """Every digest the key is known to have had under the run's watch."""
        mine = self._runs.get(run)
        return [noted.digest for noted in mine.keys.get(key, ())] if mine is not None else ()

    def judge(self, run: str, key: bytes, content: bytes | None, lag: float, *, absent_allowed: bool) -> Judgement:
        """What this look says of content that somebody else writes. Remembered for the next look of the same run.

        Nothing can be told of a key that the run does not watch. absent_allowed: no content is right whatever the key
        had.
        """
        mine = self._runs.get(run)
        if mine is None or key not in mine.keys:
            return Judgement.open
        now, last = Look(self._clock(), content), mine.looks.get(key)
        mine.asked_at = now.at
        judged = judge(now, last, lambda since: _had(mine.keys[key], since), lag)
        if content is None and absent_allowed:
            judged = Judgement.right
        if judged is Judgement.right:
            mine.looks.pop(key, None)
        elif last is None or now.at - last.at >= lag:
            mine.looks[key] = now
        return judged

    def forget(self, run: str, key: bytes) -> None:
        """The run asks no more about this key."""
        if (mine := self._runs.get(run)) is not None:
            self._noted -= len(mine.keys.pop(key, ()))
            mine.looks.pop(key, None)

    def end(self, run: str) -> None:
        """The run is over."""
        if (ended := self._runs.pop(run, None)) is not None:
            self._noted -= sum(map(len, ended.keys.values()))

    def _forget_abandoned(self) -> None:
        oldest = self._clock() - SECONDS_MAX
        for name in [name for name, run in self._runs.items() if run.asked_at < oldest]:
            self.end(name)


def _had(noted: Iterable[Noted], since: float) -> Collection[bytes | None] | None:
    """The digests a key had at some moment since then; None where what is noted does not go back so far."""
    had: list[bytes | None] = []
    reaches = False
    for _, digest, at in noted:
        if at <= since:
            reaches, had = True, []
        had.append(digest)
    return had if reaches else None
