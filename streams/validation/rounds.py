"""The rounds of a `checksums` run: everything once, then what differed or moved again, under watch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from streams.checks.request import Depth, request
from streams.drift.cause import Sides, explain
from streams.drift.rows import shown_row
from streams.errors import NotReady
from streams.replicas.base import Held
from streams.rows.canonical import Row, encode
from streams.sot.reader import SotRow
from streams.validation.report import Drifted, Report
from streams.validation.target import Target

CHUNK_KEYS = 1_000
# Keys that one further round looks at again under one pair of fences.
AGAIN_KEYS = 2_000
# Keys that somebody else writes and that are under watch at once: their other writer's lag is waited for together. Less
# than an owner can watch (`checks.watch.KEYS_MAX`).
WATCHED_KEYS = 10_000
# Bytes of keys in one request, whatever their number: it must fit into a Kafka message.
REQUEST_BYTES = 4 * 1024 * 1024
# Keys that one run looks at twice, some 500 bytes each; what differs beyond them is not decided, and counted as such.
# As many as a repair plan takes: a store that lost everything is filled again by runs and repairs in turn.
SUSPECTS_MAX = 100_000
ROUNDS_MAX = 3
# Of the snapshots of the SOT, one after the other, in which a run reads a table. Each is filled by a look at all keys.
SNAPSHOTS_MAX = 16
# Of the rows that a run keeps to tell of them; those beyond are withheld.
SHOWN_CHARACTERS_MAX = 64 << 20
ASTRAY = (
    "a partition that is not theirs, whose owner may write them beside their own: give the replica another name in the "
    "plan, under which it begins anew (docs/operations.md, A record that is somebody else's)"
)
NOT_STAMPED = (
    "a worker has put no tokens beside what is right: its plan does not say `mode: verify` of this table yet, or it is "
    "of an older version; start it again"
)
# What the answers to a look count.
COUNTED = ("verified", "absent", "skipped")


@dataclass(slots=True)
class Open:
    """Keys a round left open: suspected with their evidence, and those that moved while they were looked at."""

    suspected: dict[bytes, Drifted] = field(default_factory=dict)
    undecided: set[bytes] = field(default_factory=set)
    # Keys for which there was no room.
    beyond: int = 0
    # Those that the run has decided before.
    decided: frozenset[bytes] = frozenset()

    @property
    def keys(self) -> list[bytes]:
        """All keys that need another look."""
        return [*self.suspected, *sorted(self.undecided - self.suspected.keys())]

    def has_room(self, key: bytes) -> bool:
        """Whether the key is to be looked at again; one that is, and cannot be, is counted."""
        if key in self.decided:
            return False
        known = key in self.suspected or key in self.undecided
        if not known and len(self.suspected) + len(self.undecided) + len(self.decided) >= SUSPECTS_MAX:
            self.beyond += 1
            return False
        return True


class Stretch(NamedTuple):
    """Of a table's keys in the order of their bytes: those behind `after`, up to `upto`; None: and all that follow."""

    after: bytes
    upto: bytes | None

    @property
    def lower(self) -> bytes:
        """Where it begins."""
        return self.after + b"\x00" if self.after else b""

    @property
    def upper(self) -> bytes | None:
        """The first key that is not in it."""
        return None if self.upto is None else self.upto + b"\x00"


class Rounds:
    """Runs one table × replica to a verdict on every key."""

    def __init__(self, target: Target, report: Report) -> None:
        self._target = target
        self._report = report
        self._expected: set[tuple[int, int, int]] = set()
        self._chunk = 0
        # Characters of rows that are kept to be told.
        self._shown = 0
        # Rows that were read since the last pause could be made.
        self._unpaced = 0

    def full(self) -> None:
        """SOT ↔ version table ↔ replica content, every key that is not decided yet.

        Stretch by stretch of the keys, each under a snapshot and between fences of its own, and decided before the next
        one is read. Where somebody else's lag is waited for, it is waited for once: what is open is decided at the end.
        """
        target, report = self._target, self._report
        bounds = target.sot.bounds(target.snapshot_rows, SNAPSHOTS_MAX)
        left: list[bytes | None] = [*(bound for bound in bounds if bound > report.after), None]
        found = self._opened()
        while left:
            reached = self._first_round(Stretch(report.after, left[0]), found)
            if reached == left[0]:
                left.pop(0)
            if not left:
                self._sweep(found)
            if not (left and target.others_lag_seconds):
                self._again(found)
                found = self._opened()
            if reached is not None:
                report.after, report.open = reached, set(found.keys)
                self._leave_out(found)
                target.keep(report)

    def _opened(self) -> Open:
        """What a round may leave open beside what is decided; with what an interrupted run has left so."""
        report = self._report
        decided = frozenset(report.moving).union(drifted.key for drifted in report.drift)
        return Open(undecided=report.open - decided, decided=decided)

    def passed(self, ends: Sequence[int]) -> None:
        """Wait until every owner has applied what is before these ends of the change topic."""
        for partition in range(self._target.partitions):
            self._ask(partition, 0, ends, ends, keys=[], depth=Depth.counts)
        self._collect(counted=())

    def look(self, looked: Mapping[bytes, bytes], before: Sequence[int], after: Sequence[int]) -> Open:
        """The first look at keys whose digests (b"" for no row) were read from the SOT between these ends."""
        for partition, mine in self._by_partition(looked).items():
            for keys in portions(mine, CHUNK_KEYS):
                self._ask(partition, 1, before, after, keys=keys, digests=[looked[key] for key in keys])
        return self._collect()

    def again(self, found: Open) -> None:
        """Look at what a first look left open, until it is decided."""
        self._again(found)

    def keys(self, keys: Sequence[bytes]) -> None:
        """The same for these keys alone, starting under watch: after a repair."""
        self._report.sot_rows = len(keys)
        self._again(Open(undecided=set(keys)))

    def _first_round(self, stretch: Stretch, found: Open) -> bytes | None:
        """How far it has come: to the stretch's end, unless a pause was so long that its snapshot was given back."""
        target, report = self._target, self._report
        upper = stretch.upper
        before = target.ends()
        with target.sot.scanning(*stretch) as rows:
            fence = target.fence.passed(target.deadline())
            # What every key is verified through: later stretches, and later rounds, are looked at at later fences.
            report.fence_lsn = report.fence_lsn or fence
            after = target.ends()
            for partition, chunk in self._chunks(rows, stretch):
                self._ask(partition, 1, before, after, **chunk)
                upper = chunk["upper"]
        self._pace(holding=False)
        self._collect(found=found)
        if upper is None or upper == stretch.upper:
            return stretch.upto
        return upper.removesuffix(b"\x00")

    def _chunks(self, rows: Iterable[SotRow], stretch: Stretch) -> Iterator[tuple[int, dict[str, Any]]]:
        """Per partition, chunks of consecutive keys; together their bounds leave no gap within the stretch."""
        target = self._target
        keys: list[list[bytes]] = [[] for _ in range(target.partitions)]
        digests: list[list[bytes]] = [[] for _ in range(target.partitions)]
        lower = [stretch.lower] * target.partitions
        sizes = [0] * target.partitions
        for row in rows:
            partition = target.partitioner.partition(row.key)
            keys[partition].append(row.key)
            digests[partition].append(target.digester.digest(row.key, row.line))
            sizes[partition] += len(row.key)
            if len(keys[partition]) >= CHUNK_KEYS or sizes[partition] >= REQUEST_BYTES:
                upper = row.key + b"\x00"
                yield partition, self._packed(keys[partition], digests[partition], lower[partition], upper)
                keys[partition], digests[partition], lower[partition], sizes[partition] = [], [], upper, 0
                if not self._pace(holding=True):
                    stretch = Stretch(stretch.after, row.key)
                    break
        end = stretch.upper
        for partition in range(target.partitions):
            left = (keys[partition], digests[partition], lower[partition])
            yield partition, self._packed(*left, end, last=end is None)

    def _packed(
        self, keys: list[bytes], digests: list[bytes], lower: bytes, upper: bytes | None, *, last: bool = False
    ) -> dict[str, Any]:
        self._report.sot_rows = (self._report.sot_rows or 0) + len(keys)
        self._target.progress(len(keys))
        self._unpaced += len(keys)
        return {"keys": keys, "digests": digests, "lower": lower, "upper": upper, "last": last}

    def _pace(self, *, holding: bool) -> bool:
        rows, self._unpaced = self._unpaced, 0
        return self._target.pace(rows, holding=holding)

    def _sweep(self, found: Open) -> None:
        """The other direction: keys the replica lists that it must not hold."""
        target, report = self._target, self._report
        nothing = [0] * target.partitions
        nameless = 0
        for listed in target.store.keys(CHUNK_KEYS * target.partitions):
            report.replica_rows = (report.replica_rows or 0) + len(listed)
            nameless += listed.count(None)
            target.pace(len(listed))
            for partition, mine in self._by_partition(key for key in listed if key is not None).items():
                for keys in portions(mine, len(mine)):
                    self._ask(partition, 1, nothing, nothing, depth=Depth.sweep, keys=keys)
        report.replica_rows = report.replica_rows or 0  # of a store that was read, and has none
        if nameless:
            report.count_differs = nameless
            report.reason = f"{nameless} rows of the replica have keys that no row of the table can have: remove them"
        self._collect(counted=("skipped",), found=found)

    def _again(self, found: Open) -> None:
        """Look again at what is open, keys under watch, until it is decided or the rounds are used up."""
        for keys in portions(found.keys, WATCHED_KEYS if self._target.others_lag_seconds else AGAIN_KEYS):
            self._settle(keys, found.suspected)
        self._leave_out(found)

    def _leave_out(self, found: Open) -> None:
        """Those for which there was no room."""
        if found.beyond:
            # No drift without a second look: a TRUNCATE may be on its way.
            self._report.failed += found.beyond
            found.beyond = 0
            told = f"{self._report.failed} keys differ or moved beyond the {SUSPECTS_MAX} that one run looks at twice"
            self._report.reason = f"{told}: repair what it found, and run it again"

    def _settle(self, keys: list[bytes], suspected: dict[bytes, Drifted]) -> None:
        try:
            for some in portions(keys, AGAIN_KEYS):
                self._watch(some)
            pending, earlier = keys, suspected
            for number in range(2, ROUNDS_MAX + 2):
                # What was not there yet may be by now, and what the stream lacked.
                self._target.sleep(self._target.others_lag_seconds)
                pending, earlier = self._looked_again(pending, number, earlier)
                if not pending:
                    return
            self._report.superseded += len(pending)
            self._report.moving.update(pending)
        finally:
            self._release(keys)

    def _looked_again(
        self, keys: Sequence[bytes], number: int, earlier: dict[bytes, Drifted]
    ) -> tuple[list[bytes], dict[bytes, Drifted]]:
        """The keys that are not decided yet, and those that are suspected now."""
        pending, suspected = list[bytes](), dict[bytes, Drifted]()
        for some in portions(keys, AGAIN_KEYS):
            again, rows = self._round(some, number)
            pending += self._confirmed(again, earlier, rows)
            suspected |= again.suspected
        return pending, suspected

    def _confirmed(self, again: Open, earlier: dict[bytes, Drifted], rows: Mapping[bytes, Row]) -> list[bytes]:
        """Drift only when two looks agree and the entry did not move, or one proves the other; the rest once more."""
        pending = sorted(again.undecided)
        confirmed = []
        for key, now in again.suspected.items():
            before = earlier.get(key)
            agreed = before is not None and before.token == now.token and before.kind == now.kind
            if agreed or now.proven:
                confirmed.append(now)
            else:
                pending.append(key)
        held = self._target.store.read([drifted.key for drifted in confirmed]) if confirmed else {}
        self._report.drift += [self._explained(d, rows.get(d.key), held.get(d.key)) for d in confirmed]
        return pending

    def _explained(self, drifted: Drifted, row: Row | None, held: Held | None) -> Drifted:
        """With what tells a person why: which columns differ, whose fault it is as far as that can be seen, and how."""
        target, key = self._target, drifted.key
        stored = held.row if held is not None else None
        wanted = None if row is None else target.digester.digest(key, encode(row))
        right = drifted.entry_digest == wanted
        sides = Sides(
            drifted.kind, right, drifted.token, drifted.other_token, row, stored, target.shape.target_columns,
            [column.type for column in target.shape.source_columns], target.kind,
            right and drifted.other_digest == wanted, target.others_write,
        )  # fmt: skip
        found = replace(drifted, columns=sides.differing, **explain(sides)._asdict())
        if self._shown > SHOWN_CHARACTERS_MAX:
            return found
        sot_row, replica_row = (shown_row(target.drift, target.shape, side) for side in (row, stored))
        self._shown += sum(len(value) for side in (sot_row, replica_row) if side for value in side.values() if value)
        return replace(found, sot_row=sot_row, replica_row=replica_row)

    def _round(self, keys: Sequence[bytes], number: int) -> tuple[Open, Mapping[bytes, Row]]:
        """Read these keys again from the SOT, between two fences, and have the owners compare.

        Owners without any are asked, too: one of them may have met the record of a TRUNCATE that emptied what was read,
        and has told the others when it answers.
        """
        target = self._target
        before = target.ends()
        read = target.sot.read(keys)
        fence = target.fence.passed(target.deadline())
        self._report.fence_lsn = self._report.fence_lsn or fence
        after = target.ends()
        wanted = self._by_partition(keys)
        for partition in range(target.partitions):
            mine = wanted.get(partition, [])
            rows = [read.rows.get(key) for key in mine]
            digests = [
                b"" if row is None else target.digester.digest(key, encode(row))
                for key, row in zip(mine, rows, strict=True)
            ]
            self._ask(partition, number, before, after, keys=mine, digests=digests)
        return self._collect(), read.rows

    def _watch(self, keys: Sequence[bytes]) -> None:
        nothing = [0] * self._target.partitions
        for partition, mine in self._by_partition(keys).items():
            self._ask(partition, 0, nothing, nothing, depth=Depth.watch, keys=mine)
        # Keys that could not be watched are looked at all the same: they stay undecided if they move.
        self._collect(counted=())

    def _release(self, keys: Sequence[bytes]) -> None:
        """Not waited for: where owners say nothing, the run has waited long enough."""
        nothing = [0] * self._target.partitions
        for partition in self._by_partition(keys):
            self._ask(partition, 0, nothing, nothing, depth=Depth.release, keys=[])
        self._expected.clear()

    def _by_partition(self, keys: Iterable[bytes]) -> dict[int, list[bytes]]:
        grouped: dict[int, list[bytes]] = {}
        for key in keys:
            grouped.setdefault(self._target.partitioner.partition(key), []).append(key)
        return grouped

    def _ask(
        self,
        partition: int,
        number: int,
        before: Sequence[int],
        after: Sequence[int],
        *,
        keys: list[bytes],
        depth: Depth = Depth.checksums,
        **more: Any,
    ) -> None:
        target = self._target
        self._chunk += 1
        self._expected.add((partition, number, self._chunk))
        asked = request(
            self._report.asked_as,
            target.replica,
            target.table,
            depth,
            between=(before[partition], after[partition]),
            keys=keys,
            chunk=self._chunk,
            round=number,
            fence=self._report.fence_lsn,
            mapping=target.digester.version,
            **({"stamp": True} if target.stamp and depth is Depth.checksums else {}),
            **more,
        )
        target.exchange.ask(partition, asked)

    def _collect(self, *, counted: Sequence[str] = COUNTED, found: Open | None = None) -> Open:
        """Wait for every answer of this round. What owners that say nothing hold was not checked."""
        target, report = self._target, self._report
        target.exchange.flush()
        found = Open() if found is None else found
        answers = target.exchange.answers(report.asked_as, target.silence_seconds, target.on_silence)
        while self._expected:
            answer = next(answers, None)
            if answer is None:
                missing = len(self._expected)
                raise NotReady(
                    f"{missing} requests to the workers of {target.replica} got no answer for {target.table}: "
                    f"they have said nothing for {target.silence_seconds:.0f} s.",
                    f"Is `holdtrue worker --replica {target.replica}` running, and keeping up? See `holdtrue status`.",
                )
            address = (answer["partition"], answer["round"], answer["chunk"])
            if address in self._expected:
                self._expected.remove(address)
                self._take(answer, found, counted)
        return found

    def _take(self, answer: dict[str, Any], found: Open, counted: Sequence[str]) -> None:
        if answer["incomplete"]:
            raise NotReady(answer["incomplete"])
        if self._target.stamp and "verified" in counted and not answer.get("stamped"):
            raise NotReady(NOT_STAMPED)
        for name in counted:  # an owner of an older version does not know all of them
            setattr(self._report, name, getattr(self._report, name) + answer.get(name, 0))
        for key in answer["undecided"]:
            if self._is_of(answer, key) and found.has_room(key):
                found.undecided.add(key)
        for item in answer["suspected"]:
            if self._is_of(answer, item["key"]) and found.has_room(item["key"]):
                found.suspected[item["key"]] = _drifted(item)

    def _is_of(self, answer: dict[str, Any], key: bytes) -> bool:
        """Whether it is the key's own owner who answers; the entry of another one says nothing of the row."""
        here: int = answer["partition"]
        if self._target.partitioner.partition(key) == here:
            return True
        self._report.astray += 1
        self._report.reason = f"{self._report.astray} keys are in the version table of {ASTRAY}"
        return False


def portions(keys: Iterable[bytes], most: int) -> Iterator[list[bytes]]:
    """The keys in their order, each portion with `most` of them at most, and no more than one request holds."""
    portion: list[bytes] = []
    size = 0
    for key in keys:
        if portion and (len(portion) >= most or size + len(key) > REQUEST_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(key)
        size += len(key)
    if portion:
        yield portion


def _drifted(suspicion: dict[str, Any]) -> Drifted:
    names = ("key", "kind", "entry_digest", "other_digest", "token", "other_token")
    found = Drifted(*(suspicion[name] for name in names))
    found.proven = suspicion.get("proven", False)  # an owner of an older version does not say so
    return found
