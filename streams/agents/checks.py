"""The check agent's work: an owner compares its entries with the SOT's digests and with the replica's content."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Literal, NamedTuple, TypeGuard

from faust.types import TP

from streams.agents.announce import tell_lost
from streams.agents.events import Event
from streams.agents.owner import OTHER_MAPPING, REBUILT, Owner
from streams.agents.requests import Requests
from streams.agents.retry import until_available
from streams.changes.visibility import Looks
from streams.checks.compare import NOTHING, UNDECIDED, VERIFIED, Content, Finding, OfOthers, Verdict, compare
from streams.checks.request import Depth
from streams.errors import HoldtrueError, NotReady
from streams.metrics import KEYS_CHECKED
from streams.repair.rule import counts, is_foreign
from streams.replicas.base import Held, Outcome, Result
from streams.rows.canonical import Row, encode
from streams.steps import Step, reached
from streams.versions.backfills import WAITING_MAX
from streams.versions.entry import Entry

log = logging.getLogger(__name__)

# Keys that one answer names, of each kind, and their bytes: an answer must fit into a Kafka message.
NAMED_MAX = 2_500
NAMED_BYTES_MAX = 4 * 1024 * 1024
# How often and at what distance it is looked whether others see a key's last changes.
LOOKS_MAX = 4
LOOK_SECONDS = 0.05
# How long a partition that is behind is waited for; less than whoever asked waits for any answer.
REACH_SECONDS = 100.0
REACH_AGAIN_SECONDS = 0.1


class Seen(NamedTuple):
    """One key as the owner sees it: the SOT's digest that was sent, its entry, the replica's content and row."""

    key: bytes
    sot: bytes | None
    entry: Entry | None
    content: Content
    row: Row | None = None


class Checks(Requests):
    """Answers check requests."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # The last run that a partition could not keep up with.
        self._behind: dict[TP, str] = {}

    async def answer(self, owner: Owner, request: dict[str, Any]) -> list[Event]:
        """Compare, count or watch, as the request's depth says."""
        reached(Step.check_received)
        depth = Depth(request["depth"])
        if depth is Depth.truncate:
            await owner.order_sweep(request["o2"])
            return []
        if depth is Depth.log:
            await owner.order_log(request["epoch"], request["o2"])
            return []
        if depth is Depth.hold:
            await owner.order_hold(request["by"], request["reason"])
            return []
        if depth is Depth.resume:
            await owner.release(request["by"], request["reason"])
            return []
        if depth is Depth.look:
            await owner.look(request["keys"], request["digests"], request["buckets"])
            return []
        if depth is Depth.counted:
            await owner.others_have_counted()
            return []
        if depth is Depth.backfill:
            return [await self._backfill(owner, request)]
        if (refusal := _refusal(owner, request, depth)) is not None:
            return [_result(owner, request, incomplete=refusal)]
        try:
            return [await self._answer(owner, depth, request)]
        except HoldtrueError as error:
            return [_result(owner, request, incomplete=str(error))]
        except Exception as error:
            # Nothing was written: the run is told that it could not check, and the changes go on being applied.
            log.exception("a check of %s in %s failed", owner.work.table, owner.work.replica)
            failed = f"a check failed with {type(error).__name__}; the log of the worker says more"
            return [_result(owner, request, incomplete=failed)]

    async def _answer(
        self,
        owner: Owner,
        depth: Literal[Depth.watch, Depth.release, Depth.counts, Depth.sweep, Depth.checksums],
        request: dict[str, Any],
    ) -> Event:
        match depth:
            case Depth.watch:
                return await self._watch(owner, request)
            case Depth.release:
                owner.watch.end(request["run"])
                return _result(owner, request)
            case Depth.counts:
                await self._reached(owner, request)
                return _result(owner, request, entry_rows=owner.state.live, turnover=owner.state.turnover)
            case Depth.sweep:
                return await self._sweep(owner, request)
            case Depth.checksums:
                return await self._compare(owner, request)

    async def settle(self, tp: TP) -> None:
        """What others were seen to change is not forgotten before it was looked at."""
        await self._owner_of(tp).looked()

    def published(self) -> None:
        """The answers are with those who asked."""
        reached(Step.check_answered)

    async def _reached(self, owner: Owner, request: dict[str, Any]) -> bool:
        """Whether everything before the fence is applied, and swept where need be; False when the table is held.

        Waited for no longer than the run waits for a sign of life: what else was asked of the partition stands behind
        it. Raises NotReady then, and soon for what the run asks next.
        """
        run = request["run"]
        seconds = REACH_AGAIN_SECONDS if self._behind.get(owner.tp) == run else REACH_SECONDS
        try:
            async with asyncio.timeout(seconds):
                there = await owner.passed(request["o2"] - 1) and await owner.swept()
        except TimeoutError:
            self._behind[owner.tp] = run
            raise NotReady(_is_behind(owner)) from None
        _require_known(owner)
        return there

    async def not_read(self, tp: TP, offset: int, error: HoldtrueError) -> None:
        """It may have been an order: that changes may be missing is drift, which a full run closes."""
        await super().not_read(tp, offset, error)
        work, about = self._owner_of(self.change_partition(tp)).work, f"{tp.topic}[{tp.partition}]"
        lost = f"what may be an order, at offset {offset} of {about}, was passed over: {error.what}"
        await tell_lost(self._events, work, about, lost)

    async def _backfill(self, owner: Owner, request: dict[str, Any]) -> Event:
        """Take the order, if it is new, and say how far it is."""
        run = request["run"]
        if owner.state.backfills.of(run) is None:
            if (refusal := await _no_backfill(owner, request)) is not None:
                return _result(owner, request, incomplete=refusal)
            await owner.order_backfill(run, request["lower"] or b"", request["upper"] or b"")
        known = owner.state.backfills.of(run)
        assert known is not None  # it is among the newest
        counted = {name: getattr(known, name) for name in ("looked", "written", "removed", "failed")}
        state = "waiting" if not known.over else "given up" if known.why else "done"
        about = {"incomplete": known.why} if known.why else {}
        return _result(owner, request, backfill=state, **counted, **about)

    async def _watch(self, owner: Owner, request: dict[str, Any]) -> Event:
        keys = request["keys"]
        async with owner.lock:
            digests = [entry.digest if entry else None for entry in owner.state.entries(keys)]
            left_out = owner.watch.begin(request["run"], zip(keys, digests, strict=True))
        return _result(owner, request, skipped=left_out)

    async def _compare(self, owner: Owner, request: dict[str, Any]) -> Event:
        # The fence: everything the SOT had committed by its snapshot has been applied here.
        # A held table is not looked at, however far its other partitions are: the run says why.
        if owner.held is not None or not await self._reached(owner, request):
            return _result(owner, request)
        async with owner.lock:
            seen = await self._look(owner, _wanted(request), request["lower"], request["upper"])
        run, begin, end = request["run"], request["o1"], request["o2"]
        fenced, watch = (owner.state.epoch, begin), owner.watch
        findings = [
            compare(s.sot, s.entry, s.content, fenced=fenced, seen=watch.seen(run, s.key, begin, end),
                    absent_allowed=owner.work.absent_allowed, others=_of_others(owner, run, s)) for s in seen
        ]  # fmt: skip
        findings = _without_open_questions(owner, seen, findings)
        if _stamps(owner, request):
            seen, findings = await self._stamped(owner, seen, findings)
        return _report(owner, request, seen, await self._visible(owner, seen, findings))

    async def _stamped(
        self, owner: Owner, seen: Sequence[Seen], findings: Sequence[Finding]
    ) -> tuple[list[Seen], list[Finding]]:
        """Put tokens beside the rows that are right; what is to be thought of each then.

        One that is right only as what its key had a moment ago, or is another by now, is looked at again. A larger
        token than any of ours keeps every write of ours away: somebody has to say that it may be overruled.
        """
        work = owner.work
        marks = {
            s.key: work.write(s.key, s.row, encode(s.row), s.entry.token)
            for s, finding in zip(seen, findings, strict=True)
            if finding is VERIFIED and s.row is not None and _is_live(s.entry) and s.content.digest == s.entry.digest
        }
        store = await work.guarded()
        writes = list(marks.values())
        answers = await until_available(work.replica, lambda: work.threads.run(store.stamp, writes)) if writes else []
        results = dict(zip(marks, answers, strict=True))
        reached(Step.rows_stamped)
        pairs = [_after_stamp(s, f, results.get(s.key)) for s, f in zip(seen, findings, strict=True)]
        return [s for s, _ in pairs], [finding for _, finding in pairs]

    async def _visible(self, owner: Owner, seen: Sequence[Seen], findings: Sequence[Finding]) -> list[Finding]:
        """The findings without suspicions of keys whose last changes others may not see yet: nor did the SOT's digest.

        What is visible now is in the next look's read, so that two looks which agree have both seen all of it.
        """
        open_questions = owner.state.suspected
        others = owner.work.mapping.others_write
        doubtful = [
            _hangs_on_visibility(s, finding, others or s.key in open_questions)
            for s, finding in zip(seen, findings, strict=True)
        ]
        if not any(doubtful):
            return list(findings)
        hidden = await self._hidden(owner, [s for s, doubt in zip(seen, doubtful, strict=True) if doubt])
        return [UNDECIDED if s.key in hidden else finding for s, finding in zip(seen, findings, strict=True)]

    async def _hidden(self, owner: Owner, doubtful: Sequence[Seen]) -> set[bytes]:
        """The keys among these whose last changes others may not see yet."""
        looks = Looks()
        for again in range(LOOKS_MAX):
            await asyncio.sleep(LOOK_SECONDS * again)
            snapshot = looks.at(await owner.work.snapshot())
            doubtful = [s for s in doubtful if not counts(s.entry, snapshot)]
            if not doubtful:
                break
        return {s.key for s in doubtful}

    async def _sweep(self, owner: Owner, request: dict[str, Any]) -> Event:
        """The replica was seen to hold these keys: which of them must it not?

        What it must hold was compared before, or has been written since. Where such a write did not come through, the
        next look compares.
        """
        if not await self._reached(owner, request):
            return _result(owner, request)
        async with owner.lock:
            entries = dict(zip(request["keys"], owner.state.entries(request["keys"]), strict=True))
            extra = [key for key, e in entries.items() if not _is_live(e) or e.refused or key in owner.state.suspected]
            seen = await self._look(owner, dict.fromkeys(extra), None, None) if extra else []
        there = [s for s in seen if s.content.digest is not None]
        # Somebody else may take it away yet, or have written what the stream will bring: a watch tells.
        others = owner.work.mapping.others_write
        open_ones = [others or _is_live(s.entry) or s.key in owner.state.suspected for s in there]
        findings = [UNDECIDED if is_open else Finding(Verdict.suspected, "orphan") for is_open in open_ones]
        return _report(owner, request, there, findings)

    async def _look(
        self, owner: Owner, wanted: Mapping[bytes, bytes | None], lower: bytes | None, upper: bytes | None
    ) -> list[Seen]:
        """Entries and content of the wanted keys, and of those the owner has between the bounds besides."""
        _require_known(owner)  # it may have been taken over while the lock was waited for
        work = owner.work
        if lower is not None:
            entries: dict[bytes, Entry | None] = dict(owner.state.scan(lower, upper))
            keys = [*wanted, *(key for key, e in entries.items() if key not in wanted and e and e.digest is not None)]
        else:
            keys = list(wanted)
            entries = dict(zip(keys, owner.state.entries(keys), strict=True)) if keys else {}
        held = await until_available(work.replica, lambda: work.threads.run(work.store.read, keys)) if keys else {}
        return [
            Seen(key, wanted.get(key), entries.get(key), _content(owner, key, one := held.get(key)), one and one.row)
            for key in keys
        ]


def _of_others(owner: Owner, run: str, seen: Seen) -> OfOthers | None:
    """What is thought of content that is somebody else's; None where it is what its owner left there."""
    work, watch, key = owner.work, owner.watch, seen.key
    if not work.mapping.others_write:
        return None
    lag = work.others_lag_seconds
    judged = watch.judge(run, key, seen.content.digest, lag, absent_allowed=work.absent_allowed)
    return OfOthers(judged, watch.known(run, key))


def _stamps(owner: Owner, request: Mapping[str, Any]) -> bool:
    """Whether rows are to get tokens: those that we write have them."""
    return bool(request.get("stamp")) and owner.work.mapping.mode == "verify"


def _after_stamp(seen: Seen, finding: Finding, result: Result | None) -> tuple[Seen, Finding]:
    if result is None:
        doubtful = finding is VERIFIED and seen.content.digest is not None
        return seen, UNDECIDED if doubtful else finding
    if result.outcome in (Outcome.applied, Outcome.duplicate):
        return seen, finding
    if result.outcome is Outcome.stale and is_foreign(seen.entry, result.stored):
        return seen._replace(content=Content(result.stored, seen.content.digest)), Finding(
            Verdict.suspected, "mismatch"
        )
    return seen, finding if result.outcome is Outcome.stale else UNDECIDED


def _refusal(owner: Owner, request: Mapping[str, Any], depth: Depth) -> str | None:
    """Why nothing that was asked can be answered; None where it can."""
    if owner.work.unprepared:
        return owner.work.unprepared
    if owner.state.takeover.pending and depth is not Depth.release:
        return REBUILT
    mapping = owner.work.digester.version
    if not {request["mapping"], owner.state.mapping} <= {"", mapping}:
        return OTHER_MAPPING
    return None


async def _no_backfill(owner: Owner, request: Mapping[str, Any]) -> str | None:
    """Why no backfill can be ordered now; None where one can."""
    if (refusal := _refusal(owner, request, Depth.backfill)) is not None:
        return refusal
    if owner.held is not None:
        return f"held: {owner.held.reason}"
    if owner.work.mapping.mode == "verify":
        return "somebody else writes the table: have keys repaired that a run finds (holdtrue repair plan)"
    if await owner.is_unread():
        return "nothing of a partition is read yet"
    if len(owner.state.backfills.waiting) >= WAITING_MAX:
        return f"{WAITING_MAX} backfills of the table wait already: order it again when one of them is done"
    return None


def _is_live(entry: Entry | None) -> TypeGuard[Entry]:
    """Whether the replica must hold the key."""
    return entry is not None and entry.digest is not None


def _require_known(owner: Owner) -> None:
    """Raises NotReady when the partition was taken over with nothing known, also while what was asked has waited."""
    if owner.state.takeover.pending:
        raise NotReady(REBUILT)


def _is_behind(owner: Owner) -> str:
    swept = " or is being swept after a TRUNCATE" if owner.state.sweep.pending else ""
    place = f"{owner.tp.topic}[{owner.tp.partition}]"
    return f"{place} is behind{swept}: it did not reach the fence within {REACH_SECONDS:.0f} s"


def _without_open_questions(owner: Owner, seen: Sequence[Seen], findings: list[Finding]) -> list[Finding]:
    """The findings without keys whose store has what the SOT has, under a token the owner has not settled yet.

    Only the owner is behind: with a state that was lost, its own earlier token is a stranger's (Ordering 12). The same
    is so of a row that may be absent, and is.
    """
    if not owner.state.suspected:
        return findings
    right = [s for s in seen if s.content.digest == s.sot or (s.content.digest is None and owner.work.absent_allowed)]
    ahead = {s.key for s in right if s.key in owner.state.suspected}
    return [UNDECIDED if s.key in ahead else finding for s, finding in zip(seen, findings, strict=True)]


def _hangs_on_visibility(seen: Seen, finding: Finding, is_open: bool) -> bool:
    """Whether the replica holds what its owner left there, which may be more than others can see of the SOT.

    is_open: what the store has is somebody else's, or under a token that the owner has not settled; it may be as new.
    """
    if finding.verdict is not Verdict.suspected or seen.entry is None or not seen.entry.unproven:
        return False
    return is_open or seen.content.digest == seen.entry.digest


def _report(owner: Owner, request: dict[str, Any], seen: Sequence[Seen], findings: Sequence[Finding]) -> Event:
    counted = Counter(finding.verdict for finding in findings)
    for verdict, count in counted.items():
        KEYS_CHECKED.labels(*owner.work.labels, verdict).inc(count)
    pairs = list(zip(seen, findings, strict=True))
    undecided = [s.key for s, finding in pairs if finding.verdict is Verdict.undecided]
    suspected = [pair for pair in pairs if pair[1].verdict is Verdict.suspected]
    named, explained = _named(undecided), _named([s.key for s, _ in suspected])
    return _result(
        owner,
        request,
        verified=counted[Verdict.verified],
        absent=counted[Verdict.absent],
        stamped=_stamps(owner, request),
        undecided=undecided[:named],
        suspected=[_suspicion(*pair) for pair in suspected[:explained]],
        # What is not named is not decided: the run is not correct, and says how many keys it is about.
        skipped=len(undecided) - named + len(suspected) - explained,
    )


def _named(keys: Sequence[bytes]) -> int:
    """How many of these keys, from the first on, an answer has room for."""
    return sum(size <= NAMED_BYTES_MAX for size in accumulate(len(key) for key in keys[:NAMED_MAX]))


def _result(owner: Owner, request: dict[str, Any], **result: Any) -> Event:
    same = {name: request[name] for name in ("run", "replica", "table", "partition", "chunk", "round", "last")}
    held = owner.held
    incomplete = f"held: {held.reason}" if held else None
    said = {**same, "verified": 0, "incomplete": incomplete, **result, "at": datetime.now(UTC)}
    return ("checks.results", request["run"], "check-result", said)


def _wanted(request: Mapping[str, Any]) -> dict[bytes, bytes | None]:
    return {key: digest or None for key, digest in zip(request["keys"], request["digests"], strict=True)}


def _content(owner: Owner, key: bytes, held: Held | None) -> Content:
    if held is None:
        return NOTHING
    digest = None if held.row is None else owner.work.digester.digest(key, encode(held.row))
    return Content(held.token, digest)


def _suspicion(seen: Seen, finding: Finding) -> dict[str, Any]:
    entry, content = seen.entry, seen.content
    return {
        "key": seen.key,
        "kind": finding.kind,
        "proven": finding.proven,
        "entry_digest": entry.digest if entry else None,
        "other_digest": content.digest,
        "token": entry.token.encode() if entry else None,
        "other_token": content.token.encode() if content.token else None,
    }
