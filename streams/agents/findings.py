"""What continuous checking has found in one partition: told on the drift topic, and repaired where the plan says so."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from streams.agents.repairs import REPAIRED, Done, Repairs, result
from streams.drift.cause import Sides, explain
from streams.drift.flood import TELL_SECONDS, Counted, flood_records
from streams.drift.record import key_record
from streams.drift.rows import Shown, shown_row
from streams.repair.storm import Storm
from streams.rows.canonical import Row

if TYPE_CHECKING:
    from streams.agents.events import Events
    from streams.agents.owner import Owner
    from streams.agents.scrub import Judged
    from streams.agents.table import TableWork
    from streams.agents.told import Listening

log = logging.getLogger(__name__)

# Per partition, whatever the plan allows.
KNOWN_MAX = 20_000
# How often one key is repaired without being asked, while it is found wrong again each time.
REPAIRS_MAX = 3
# A drift that is seen again is told again, not more often than that.
AGAIN_SECONDS = 30.0
# How often it is noted in the time for which it counts that there is too much drift to be repaired without being asked.
NOTED_IN_A_WINDOW = 8
WRONG_AGAIN = "found wrong again after the repair"
RIGHT_AGAIN = "a later look found it right"
BY_PLAN = "repaired without being asked, as the plan says"


class Known(NamedTuple):
    """A drift that was told here and is open. repair: the last one of its key; repairs: how many there were."""

    kind: str
    cause: str
    told: float
    repair: str | None = None
    repairs: int = 0


class Findings:
    """The drift of one partition that continuous checking has told, until it ends."""

    def __init__(self, owner: Owner, events: Events, repairs: Repairs, storm: Storm, listening: Listening) -> None:
        self._owner = owner
        self._work: TableWork = owner.work
        self._events = events
        self._repairs = repairs
        self._storm = storm
        self._known: dict[bytes, Known] = {}
        # Of those that the plan lets be named, this partition names its share; the others are counted.
        self._named_max = min(KNOWN_MAX, max(1, self._work.mapping.drift.flood_above // self._work.partitions))
        self._listening = listening
        # Drift of this table that is open by a record of its own, whoever told it, as it was heard last.
        self._named: Container[str] = ()
        self._heard_at = float("-inf")
        self._counted = Counted(storm.window, time.monotonic(), goes_on=owner.state.flood > 0)
        if noted := owner.state.storm:
            storm.goes_on(time.time() - noted / 1000, time.monotonic())

    def __contains__(self, key: bytes) -> bool:
        return key in self._known or (bool(self._counted) and self._work.names.id(key) in self._counted)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Somebody else tells what becomes of these."""
        for key in keys:
            self._known.pop(key, None)
            self._count_no_more(key)

    def others_have_counted(self) -> None:
        """A run has told how many keys are in drift besides those it names: that is heard before any is named here."""
        self._counted.goes_on(time.monotonic())
        self._heard_at = float("-inf")

    async def right(self, keys: Sequence[bytes], since: float) -> None:
        """These were told of, and are right now. since: every key was looked at after this moment."""
        for key in keys:
            known = self._known.pop(key, None)
            if self._count_no_more(key) or known is None:
                continue  # counted only, or somebody else's to tell since it was looked at
            if known.repair is not None:
                self._tell(key, known, "resolved", repair=known.repair)
            else:
                self._tell(key, known, "superseded", reason=RIGHT_AGAIN)
        await self._events.flush()
        await self.settle(since)

    async def wrong(self, found: Sequence[Judged], since: float) -> list[bytes]:
        """These are in drift. Those that were repaired: they are to be looked at again. since: as of `right`."""
        now = time.monotonic()
        self._storm.found((judged.key for judged in found), now)
        if asked := self._storm.rages(now):
            await self._note_storm()
        if self._may_have_been_told(found, now):
            await self._hear(now)
        fresh = [judged for judged in found if self._is_news(judged.key, now)]
        for judged in fresh:
            self._open(judged, now, asked=asked)
        if self._counted and self._owner.state.flood <= 0:
            # So that whoever goes on with this partition hears what was told before it names any.
            await self._owner.note_flood(int(time.time() * 1000))
        await self._events.flush()
        await self.settle(since)
        if asked:
            return []
        return await self._repair([judged.key for judged in fresh if self._is_automatic(judged)])

    async def _note_storm(self) -> None:
        """So that whoever goes on with this partition does not begin to repair anew."""
        at, noted = time.time(), self._owner.state.storm / 1000
        if self._work.mapping.repair.automatic and at - noted > self._storm.window / NOTED_IN_A_WINDOW:
            await self._owner.note_storm(int(at * 1000))

    def _may_have_been_told(self, found: Sequence[Judged], now: float) -> bool:
        """Whether others may have named some of these, or counted them, and that matters: not all can be named here."""
        more = sum(judged.key not in self._known for judged in found)
        matters = not self._counted.is_ours or len(self._known) + more > self._named_max
        return matters and bool(more) and now - self._heard_at >= TELL_SECONDS

    async def _hear(self, now: float) -> None:
        """What was told of this table, by whomever."""
        told = await self._listening.heard()
        self._named, self._heard_at = told.named(self._work.table), now
        self._counted.heard(told.counted(self._work.names, self._owner.tp.partition), self._named, now)

    def is_due(self, since: float) -> bool:
        """Whether there is a number to be told. since: as of `right`."""
        return self._counted.is_due(time.monotonic(), since)

    async def settle(self, since: float) -> None:
        """Tell how many are only counted, where it is time to, and nothing else waits. since: as of `right`."""
        if not self.is_due(since):
            return
        await self._hear(time.monotonic())
        self._tell_counted(since)
        await self._events.flush()
        if self._counted.is_over and self._owner.state.flood > 0:
            await self._owner.note_flood(-int(time.time() * 1000))

    def _count_no_more(self, key: bytes) -> bool:
        """Whether it was counted."""
        return bool(self._counted) and self._counted.discard(self._work.names.id(key))

    def _is_not_told(self, key: bytes, kind: str, cause: str, now: float) -> bool:
        """Whether no record of this one is sent: it is counted, or has one by others and there is no room for more."""
        if key in self._known:
            return False
        drift = self._work.names.id(key)
        if drift in self._named:
            return len(self._known) >= KNOWN_MAX
        has_place = len(self._known) < self._named_max and self._counted.is_ours
        return not has_place and self._counted.add(drift, kind, cause, now)

    def _is_news(self, key: bytes, now: float) -> bool:
        known = self._known.get(key)
        return known is None or known.repair is not None or now - known.told >= AGAIN_SECONDS

    def _open(self, judged: Judged, now: float, *, asked: bool) -> None:
        key, entry, content, kind = judged.key, judged.entry, judged.content, judged.finding.kind
        before, sides = self._known.get(key), self._sides(judged)
        cause, evidence = explain(sides)
        if self._is_not_told(key, kind, cause, now):
            return
        self._counted.named(self._work.names.id(key))
        self._known[key] = known = Known(kind, cause, now, None, before.repairs if before else 0)
        self._tell(
            key,
            known,
            "open",
            reason=WRONG_AGAIN if before and before.repair else self._storm_said() if asked else None,
            entry_token=entry.token.encode() if entry else None,
            replica_token=content.token.encode() if content.token else None,
            entry_digest=entry.digest if entry else None,
            replica_digest=content.digest,
            sot_digest=entry.digest if entry else None,
            columns=list(sides.differing),
            evidence=evidence,
            sot_row=self._shown(judged.row),
            replica_row=self._shown(judged.held.row),
        )

    def _tell_counted(self, since: float) -> None:
        numbers, over = self._counted.news(time.monotonic(), since)
        whole = self._counted.is_whole(since)
        partition, at = self._owner.tp.partition, datetime.now(UTC)
        for event in (
            *flood_records(self._work.names, numbers, partition, at=at, whole=whole),
            *flood_records(self._work.names, over, partition, at=at, state="superseded"),
        ):
            self._events.send("drift", event["id"], "drift", event)

    def _storm_said(self) -> str | None:
        if not self._work.mapping.repair.automatic:
            return None
        return f"not repaired without being asked: more than {self._storm.stop_above} keys were found in drift"

    def _shown(self, row: Row | None) -> Shown | None:
        return shown_row(self._work.mapping.drift, self._work.shape, row)

    def _sides(self, judged: Judged) -> Sides:
        """As `explain` wants them. The version table agrees with the source, or it would not be told."""
        shape, entry, stored = self._work.shape, judged.entry, judged.held.token
        return Sides(
            judged.finding.kind, True, entry.token.encode() if entry else None, stored.encode() if stored else None,
            judged.row, judged.held.row, shape.target_columns, [column.type for column in shape.source_columns],
            self._work.kind, others_write=self._work.mapping.others_write,
        )  # fmt: skip

    def _is_automatic(self, judged: Judged) -> bool:
        known = self._known.get(judged.key)
        wanted = judged.finding.kind in self._work.mapping.repair.automatic
        return wanted and known is not None and known.repairs < REPAIRS_MAX

    async def _repair(self, keys: Sequence[bytes]) -> list[bytes]:
        """Have them repaired, and tell what became of each; those that were.

        Not those that somebody else has ordered the repair of, since they were told.
        """
        if not keys:
            return []
        repair = f"repair-{uuid4()}"
        keys = [key for key in keys if key in self._known]
        for key in keys:
            self._known[key] = self._known[key]._replace(repair=repair, repairs=self._known[key].repairs + 1)
            self._tell(key, self._known[key], "repairing", repair=repair, reason=BY_PLAN)
        await self._events.flush()
        done = await self._repairs.done(self._owner, keys)
        self._tell_done(repair, done)
        await self._events.flush()
        return [key for key in keys if done[key].outcome == REPAIRED]

    def _tell_done(self, repair: str, done: Mapping[bytes, Done]) -> None:
        work = self._work
        about = {
            "repair": repair, "replica": work.replica, "table": work.table, "partition": self._owner.tp.partition
        }  # fmt: skip
        for key, (outcome, entry) in done.items():
            item = {"key": key, "drift": work.names.id(key)}
            self._events.send("repairs.results", repair, "repair-result", result(about, item, outcome, entry))
            known = self._known.get(key)
            if known is None:
                continue  # somebody has ordered its repair meanwhile, and tells of it
            if outcome == REPAIRED:
                self._tell(key, known, "repaired", repair=repair)
            else:
                self._known[key] = known._replace(repair=None)
                self._tell(key, known, "open", repair=repair, reason=f"the repair {outcome}")

    def _tell(self, key: bytes, known: Known, state: str, **more: Any) -> None:
        work = self._work
        said: dict[str, Any] = {"kind": known.kind, "cause": known.cause, "state": state, "at": datetime.now(UTC)}
        event = key_record(work.names, key, **said, **more)
        self._events.send("drift", event["id"], "drift", event)
