"""Continuous checking of one partition, beside its changes: keys just written, and every key within the plan's period.

The replica's content is read without the partition's lock, so that no change waits for it. What differs then is a
doubt, and is looked at again under the lock, beside the SOT: only what differs twice in the same way, while its entry
stood still and the SOT agrees with the entry, is drift. So what is on its way, late or superseded is never told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from streams.agents.others import Others
from streams.agents.retry import until_available
from streams.checks.compare import NOTHING, Content, Finding, Verdict, compare_store, expected_of
from streams.checks.fresh import Fresh
from streams.checks.pace import Pace, rest
from streams.errors import HoldtrueError
from streams.metrics import CHECK_SECONDS, KEYS_CHECKED
from streams.replicas.base import Held
from streams.rows.canonical import Row, encode
from streams.rows.digest import bucket_of
from streams.steps import Step, reached
from streams.versions.entry import Entry, Token

if TYPE_CHECKING:
    from streams.agents.findings import Findings
    from streams.agents.owner import Owner
    from streams.agents.table import TableWork

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
# Keys of one read of the store; those of one second look, which holds up changes.
LOOK_KEYS = 1_000
JUDGE_KEYS = 200
# How long after a look another one follows that it is compared with.
AGAIN_SECONDS = 1.0
# How often a key is looked at again whose entry does not agree with the SOT: then a validation decides.
LOOKS_MAX = 30
# Per partition; what is in doubt beyond them, of what was just written, is found again by the pass.
DOUBTS_MAX = 20_000
# So many looks have room for what they make doubtful; where they have not, the pass waits.
ROOM = 2
# Per partition, of keys that others were seen to change; where more are named, every key is visited at once.
HINTS_MAX = 10_000
# How long whoever has named keys waits until what was seen of them is told: what is asked next waits behind.
LOOKED_SECONDS_MAX = 3.0
# After a failure that nobody foresaw; changes go on being applied meanwhile.
FAILED_SECONDS = 10.0


class Doubt(NamedTuple):
    """What a look at a key has shown. due: when to look again. looks: how many there were.

    decided: before this doubt it was last decided after this moment.
    """

    token: Token | None
    content: Content | None
    due: float
    decided: float
    looks: int = 0


class Judged(NamedTuple):
    """A key at a look under the lock: its entry, what the store holds, what the SOT has, and what follows.

    agrees: whether the SOT has what the entry says.
    """

    key: bytes
    entry: Entry | None
    held: Held
    content: Content
    row: Row | None
    finding: Finding
    agrees: bool


class Scrub:
    """The continuous check of one partition."""

    def __init__(self, owner: Owner, findings: Findings, period: float) -> None:
        self._owner = owner
        self._work: TableWork = owner.work
        self._findings = findings
        self._fresh = Fresh()
        self._pace = Pace(period, time.monotonic())
        self._doubts: dict[bytes, Doubt] = {}
        # Seconds of this turn in which entries and stores were read; not those in which changes had the lock.
        self._worked = 0.0
        self._hints: dict[bytes, None] = {}
        # Of them, those that somebody waits for.
        self._asked: set[bytes] = set()
        # Of a table that somebody else writes, or fills.
        self._others = Others(owner) if owner.work.mapping.others_write else None
        self._turned = asyncio.Condition()

    def written(self, keys: Iterable[bytes]) -> None:
        """These keys were just written: they are read back soon, if it is we who write them."""
        if self._work.mapping.mode != "verify":
            self._fresh.note(keys, time.monotonic())

    def doubt(self, keys: Iterable[bytes]) -> None:
        """Look at these keys soon: there is a reason to think that they are wrong, or were."""
        now, decided = time.monotonic(), self._pace.complete_since
        for key in keys:
            self._suspect(key, Doubt(None, None, now, decided))

    def listed(self, keys: Sequence[bytes]) -> None:
        """The replica was seen to hold these keys: which of them must it not?"""
        self.doubt(key for key, entry in zip(keys, self._owner.state.entries(keys), strict=True)
                   if expected_of(entry) is None)  # fmt: skip

    def look(self, keys: Sequence[bytes]) -> None:
        """Look at these keys before others, or at every key if none is named or they are too many."""
        if not keys or len(self._hints) + len(keys) > HINTS_MAX:
            self._pace.hurry(time.monotonic())
            return
        self._hints.update(dict.fromkeys(keys))
        self._asked.update(keys)

    async def looked(self) -> None:
        """Return when what is to be said of the keys is told: they may be forgotten; or after a bounded time."""
        if self._asked:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOKED_SECONDS_MAX), self._turned:
                    await self._turned.wait_for(lambda: not self._may_look() or not self._is_asked())
            self._asked.clear()

    def _is_asked(self) -> bool:
        """Whether one of the keys was not looked at, or is in doubt and not told of."""
        return any(key in self._hints or (key in self._doubts and key not in self._findings) for key in self._asked)

    async def look_in(self, buckets: Iterable[int], seen: Mapping[bytes, bytes]) -> None:
        """Look at those keys of these buckets whose entry is not as was seen in the replica's log."""
        wanted, left, odd = set(buckets), dict(seen), []
        for count, (key, entry) in enumerate(self._owner.state.scan()):
            if bucket_of(key) in wanted and expected_of(entry) != left.pop(key, None):
                odd.append(key)
            if not count % LOOK_KEYS:
                await asyncio.sleep(0)  # changes go on meanwhile
        if odd := [*odd, *left]:
            self.look(odd)

    @property
    def may_look(self) -> bool:
        """Whether it is known what the replica must hold."""
        return self._may_look()

    def ordered(self, keys: Iterable[bytes]) -> None:
        """Somebody repairs these keys, and tells what becomes of them."""
        self._findings.forget(keys)

    def others_have_counted(self) -> None:
        """Somebody has told how many keys are in drift, and does not name them."""
        self._findings.others_have_counted()

    @property
    def age(self) -> float:
        """Seconds since which every key has been visited."""
        return self._pace.age(time.monotonic())

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            self._worked = 0.0
            try:
                if self._may_look():
                    await self._turn()
                    await self._settle()
                async with self._turned:
                    self._turned.notify_all()
            except HoldtrueError as error:
                log.warning("%s in %s is not checked now: %s", self._work.table, self._work.replica, error)
                await asyncio.sleep(FAILED_SECONDS)
            except Exception:
                # Nothing was written, and the changes go on being applied; that keys are not visited is a metric.
                log.exception("checking %s in %s failed", self._work.table, self._work.replica)
                await asyncio.sleep(FAILED_SECONDS)
            CHECK_SECONDS.labels(*self._work.labels).inc(self._worked)
            await asyncio.sleep(max(TICK_SECONDS, rest(self._worked)))

    async def _settle(self) -> None:
        """What is due to be told of keys that are only counted, also where none of them was looked at just now."""
        since = self._decided_since
        if self._findings.is_due(since) and await self._owner.prove_ownership():
            await self._findings.settle(since)

    @property
    def _decided_since(self) -> float:
        """Every key was found right or wrong after this moment: what a glance has only made doubtful was before it."""
        return min((doubt.decided for doubt in self._doubts.values()), default=self._pace.complete_since)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more doubts until some are decided."""
        return len(self._doubts) > DOUBTS_MAX - ROOM * LOOK_KEYS and self._may_look()

    def _may_look(self) -> bool:
        """Whether it is known what the replica must hold, and holds it as far as its owner can tell."""
        owner = self._owner
        known = not (owner.state.takeover.pending or owner.state.is_blank or self._work.unprepared)
        return known and owner.held is None and owner.state.mapping in ("", self._work.digester.version)

    async def _turn(self) -> None:
        """Second looks first, then what others have changed or was just written, then the next keys of the pass."""
        now = time.monotonic()
        if due := list(islice((key for key, doubt in self._doubts.items() if doubt.due <= now), JUDGE_KEYS)):
            await self._judge(due)
        # One more where a full one was not enough: a turn that has waited for a lock is late with its pass.
        while await self._glance_at_the_next() and self._worked < TICK_SECONDS:
            pass
        self._count("left_to_scrub", self._fresh.left_to_the_scrub())

    async def _glance_at_the_next(self) -> bool:
        """Return whether there was no room for more."""
        now = time.monotonic()
        # At most half of a glance: however much is written, the pass goes on, and what waits too long is left to it.
        hinted = list(islice(self._hints, LOOK_KEYS // 2))
        fresh = [*hinted, *self._fresh.due(now, LOOK_KEYS // 2 - len(hinted))]
        room = LOOK_KEYS - len(fresh)
        # Not what could not be looked at again: it would have been visited, and be known by nobody.
        wanted = 0 if self.is_full else self._pace.wanted(now, self._owner.state.live, room)
        keys, last = self._next_of_the_pass(wanted)
        stretch = self._pace.stretch(len(keys), last)
        if looked := list(dict.fromkeys([*fresh, *keys])):
            await self._glance(looked)
        else:
            await asyncio.sleep(0)  # changes go on meanwhile, however many keys in a row must not be in the store
        if wanted:
            self._pace.visited(stretch, now)
        for key in hinted:
            self._hints.pop(key, None)
        return wanted == room

    def _next_of_the_pass(self, wanted: int) -> tuple[list[bytes], bytes | None]:
        """The next keys that the replica must hold, and the last one passed; None at the end of all."""
        after = self._pace.at and self._pace.at + b"\x00"
        with self._working():
            found = list(islice(self._owner.state.scan(after), wanted))
        keys = [key for key, entry in found if entry.digest is not None]
        return keys, found[-1][0] if found and len(found) == wanted else None

    async def _glance(self, keys: Sequence[bytes]) -> None:
        """A look without the lock: a change may come between, so that what differs is only a doubt."""
        state = self._owner.state
        entries = state.entries(keys)
        found = await self._read(keys)
        now, decided = time.monotonic(), self._pace.complete_since
        verdicts = Counter[str]()
        for key, entry, (_, content) in zip(keys, entries, found, strict=True):
            if key in state.suspected:
                continue  # its token is not ours, which is being settled
            finding = compare_store(entry, content, absent_allowed=self._work.absent_allowed)
            verdicts[finding.verdict] += 1
            if finding.verdict is Verdict.suspected:
                self._suspect(key, Doubt(_token(entry), content, now + AGAIN_SECONDS, decided))
            elif key in self._findings:
                self._suspect(key, Doubt(None, None, now, decided))
        for verdict, count in verdicts.items():
            self._count(verdict, count)
        reached(Step.keys_scrubbed)

    async def _judge(self, keys: Sequence[bytes]) -> None:
        """A look under the lock, beside the SOT; what it confirms is told."""
        await self._work.budget.take(len(keys), paid_off=True)
        if self._others is not None and not await self._others.caught_up():
            return
        async with self._owner.lock:
            if not self._may_look():
                return
            looked = await self._look_closely(keys)
            ahead = self._ahead(looked)
        coming = await self._coming(ahead)
        now, since = time.monotonic(), self._decided_since
        wrong = [each for each in looked if self._is_confirmed(each, self._doubts.pop(each.key), coming, now)]
        right = [each.key for each in looked if each.agrees and each.finding.verdict in _RIGHT]
        self._end_watch(looked)
        ended = [key for key in right if key in self._findings]
        if not wrong and not ended:
            return
        if not await self._owner.prove_ownership():
            self._doubts.clear()  # the replica is another one's, who knows more of it
            return
        reached(Step.drift_found)
        await self._findings.right(ended, since)
        self._again(await self._findings.wrong(wrong, since))

    async def _look_closely(self, keys: Sequence[bytes]) -> list[Judged]:
        """Without the keys whose token in the store is not ours."""
        state, digest = self._owner.state, self._work.digester.digest
        keys = [key for key in keys if key not in state.suspected or self._doubts.pop(key) is None]
        entries = state.entries(keys)
        found = await self._read(keys)
        with self._working():
            read = await self._work.read_sot(keys, "check", paid=True)
        looked = []
        for key, entry, (held, content) in zip(keys, entries, found, strict=True):
            row = read.rows.get(key)
            finding = self._finding(key, entry, content)
            agrees = expected_of(entry) == (None if row is None else digest(key, encode(row)))
            looked.append(Judged(key, entry, held, content, row, finding, agrees))
        return looked

    def _finding(self, key: bytes, entry: Entry | None, content: Content) -> Finding:
        if self._others is not None:
            return self._others.finding(key, entry, content)
        return compare_store(entry, content, absent_allowed=self._work.absent_allowed)

    def _end_watch(self, looked: Iterable[Judged]) -> None:
        if self._others is not None:
            for each in looked:
                if each.key not in self._doubts:
                    self._others.forget(each.key)

    def _ahead(self, looked: Iterable[Judged]) -> dict[bytes, int]:
        """The keys that the store holds under a token of a record beyond the last one applied, and its offset."""
        state = self._owner.state
        tokens = {each.key: each.content.token for each in looked if each.content.token is not None}
        now = (state.epoch, state.input_offset)
        return {key: token.offset for key, token in tokens.items() if token.epoch == now[0] and token.record > now}

    async def _coming(self, ahead: Mapping[bytes, int]) -> set[bytes]:
        """Those of these keys whose record is still to come.

        Whoever owned the partition before had applied it, and could not record that. Nothing is known of the key until
        it is applied here: the SOT may be back at what the entry says. A token that no record is of is not waited for.
        """
        end = await self._owner.newest_end_offset() if ahead else 0
        return {key for key, offset in ahead.items() if offset < end}

    def _is_confirmed(self, judged: Judged, doubt: Doubt, coming: Container[bytes], now: float) -> bool:
        """Whether two looks agree that it is wrong; where they do not, and it is not right either, one more follows."""
        if judged.finding.verdict in _RIGHT and (judged.agrees or judged.key not in self._findings):
            return False
        if judged.finding.proven and judged.agrees:
            return True
        seen = (_token(judged.entry), judged.content)
        known = judged.agrees and judged.key not in coming
        if known and (doubt.token, doubt.content) == seen and self._others is None:
            return True
        if doubt.looks < LOOKS_MAX:
            self._suspect(judged.key, Doubt(*seen, now + AGAIN_SECONDS, doubt.decided, doubt.looks + 1))
        else:
            self._count(Verdict.undecided, 1)
        return False

    def _again(self, repaired: Iterable[bytes]) -> None:
        """Look at what was repaired."""
        now, decided = time.monotonic(), self._pace.complete_since
        for key in repaired:
            self._suspect(key, Doubt(None, None, now + AGAIN_SECONDS, decided))

    def _suspect(self, key: bytes, doubt: Doubt) -> None:
        if key in self._doubts:
            return  # it is looked at when that is due: what a glance sees meanwhile must not put it off
        if len(self._doubts) >= DOUBTS_MAX:
            self._count("left_to_scrub", 1)
            return
        if self._others is not None:
            self._others.doubt(key)
            doubt = doubt._replace(due=doubt.due + self._others.lag)
        self._doubts[key] = doubt

    async def _read(self, keys: Sequence[bytes]) -> list[tuple[Held, Content]]:
        work = self._work

        def read() -> list[tuple[Held, Content]]:
            held = work.store.read(keys) if keys else {}
            return [(one := held.get(key, _ABSENT), _content(work.digester.digest, key, one)) for key in keys]

        with self._working():
            return await until_available(work.replica, lambda: work.threads.run(read))

    @contextmanager
    def _working(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._worked += time.monotonic() - started

    def _count(self, result: str, keys: int) -> None:
        if keys:
            KEYS_CHECKED.labels(*self._work.labels, result).inc(keys)


_ABSENT = Held(None, None)
_RIGHT = (Verdict.verified, Verdict.absent)


def _content(digest: Callable[[bytes, bytes], bytes], key: bytes, held: Held) -> Content:
    if held is _ABSENT:
        return NOTHING
    return Content(held.token, None if held.row is None else digest(key, encode(held.row)))


def _token(entry: Entry | None) -> Token | None:
    return entry.token if entry is not None else None
