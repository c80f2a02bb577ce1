"""The rounds of a `checksums` run: everything once, then what differed or moved again, under watch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from streams.checks.request import Depth, request
from streams.drift.cause import cause_of
from streams.errors import NotReady
from streams.replicas.base import Held
from streams.rows.canonical import Row, encode
from streams.validation.report import Drifted, Report
from streams.validation.target import Target

CHUNK_KEYS = 1_000
# Keys that one further round looks at again under one pair of fences.
AGAIN_KEYS = 2_000
# More differing keys than this are not looked at twice: the table is wrong as a whole, which is said as a count.
SUSPECTS_MAX = 20_000
ROUNDS_MAX = 3


@dataclass(slots=True)
class Open:
    """Keys a round left open: suspected with their evidence, and those that moved while they were looked at."""

    suspected: dict[bytes, Drifted] = field(default_factory=dict)
    undecided: set[bytes] = field(default_factory=set)

    @property
    def keys(self) -> list[bytes]:
        """All keys that need another look."""
        return [*self.suspected, *sorted(self.undecided - self.suspected.keys())]


class Rounds:
    """Runs one table × replica to a verdict on every key."""

    def __init__(self, target: Target, report: Report) -> None:
        self._target = target
        self._report = report
        self._expected: set[tuple[int, int, int]] = set()
        self._chunk = 0

    def checksums(self) -> None:
        """SOT ↔ version table ↔ replica content, every key."""
        found = self._first_round()
        self._sweep(found)
        self._again(found)

    def keys(self, keys: Sequence[bytes]) -> None:
        """The same for these keys alone, starting under watch: after a repair."""
        self._report.sot_rows = len(keys)
        self._again(Open(undecided=set(keys)))

    def _first_round(self) -> Open:
        target, report = self._target, self._report
        before = target.ends()
        deadline = target.deadline()
        with target.sot.scanning() as rows:
            # What every key is verified through: later rounds look at some of them again, at later fences.
            report.fence_lsn = target.fence.passed(deadline)
            after = target.ends()
            for partition, chunk in self._chunks(rows):
                self._ask(partition, 1, before, after, **chunk)
        return self._collect(deadline)

    def _chunks(self, rows: Iterable[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Per partition, chunks of consecutive keys; together their bounds leave no gap."""
        target = self._target
        keys: list[list[bytes]] = [[] for _ in range(target.partitions)]
        digests: list[list[bytes]] = [[] for _ in range(target.partitions)]
        lower = [b""] * target.partitions
        for row in rows:
            partition = target.partitioner.partition(row.key)
            keys[partition].append(row.key)
            digests[partition].append(target.digester.digest(row.key, row.line))
            if len(keys[partition]) >= CHUNK_KEYS:
                upper = row.key + b"\x00"
                yield partition, self._packed(keys[partition], digests[partition], lower[partition], upper)
                keys[partition], digests[partition], lower[partition] = [], [], upper
        for partition in range(target.partitions):
            yield partition, self._packed(keys[partition], digests[partition], lower[partition], None, last=True)

    def _packed(
        self, keys: list[bytes], digests: list[bytes], lower: bytes, upper: bytes | None, *, last: bool = False
    ) -> dict[str, Any]:
        self._report.sot_rows += len(keys)
        self._target.progress(len(keys))
        return {"keys": keys, "digests": digests, "lower": lower, "upper": upper, "last": last}

    def _sweep(self, found: Open) -> None:
        """The other direction: keys the replica lists that it must not hold."""
        target = self._target
        nothing = [0] * target.partitions
        deadline = target.deadline()
        for listed in target.store.keys(CHUNK_KEYS * target.partitions):
            self._report.replica_rows += len(listed)
            for partition, keys in self._by_partition(listed).items():
                self._ask(partition, 1, nothing, nothing, depth=Depth.sweep, keys=keys)
        swept = self._collect(deadline, counted=False)
        found.suspected.update(swept.suspected)

    def _again(self, found: Open) -> None:
        """Look again at what is open, keys under watch, until it is decided or the rounds are used up."""
        if len(found.keys) > SUSPECTS_MAX:
            self._too_many(found)
            return
        keys = iter(found.keys)
        while batch := list(islice(keys, AGAIN_KEYS)):
            self._settle(batch, found.suspected)

    def _too_many(self, found: Open) -> None:
        """Some of them are looked at again: no drift without a second look (a TRUNCATE may be on its way)."""
        report = self._report
        report.failed += len(found.undecided)
        self._settle(list(found.suspected)[:AGAIN_KEYS], found.suspected)
        told = f"{len(found.keys)} keys differ or moved, and only {AGAIN_KEYS} were looked at twice"
        if report.drift:
            report.count_differs = len(found.suspected)
            report.reason = told
        else:
            report.failed += len(found.suspected)
            report.reason = f"{told}: none of them differs still; run it again"

    def _settle(self, keys: list[bytes], suspected: dict[bytes, Drifted]) -> None:
        try:
            self._watch(keys, Depth.watch)
            pending, earlier = keys, suspected
            for number in range(2, ROUNDS_MAX + 2):
                again, rows = self._round(pending, number)
                pending = self._confirmed(again, earlier, rows)
                earlier = again.suspected
                if not pending:
                    return
            self._report.superseded += len(pending)
        finally:
            self._watch(keys, Depth.release)

    def _confirmed(self, again: Open, earlier: dict[bytes, Drifted], rows: Mapping[bytes, Row]) -> list[bytes]:
        """Drift only when two reads agree and the entry did not move; the rest is looked at again."""
        pending = sorted(again.undecided)
        confirmed = []
        for key, now in again.suspected.items():
            before = earlier.get(key)
            if before is not None and before.token == now.token and before.kind == now.kind:
                confirmed.append(now)
            else:
                pending.append(key)
        held = self._target.store.read([drifted.key for drifted in confirmed]) if confirmed else {}
        self._report.drift += [self._explained(d, rows.get(d.key), held.get(d.key)) for d in confirmed]
        return pending

    def _explained(self, drifted: Drifted, row: Row | None, held: Held | None) -> Drifted:
        """With what tells a person why: which columns differ, and whose fault it is where the version table knows."""
        target, key = self._target, drifted.key
        stored = held.row if held is not None else None
        wanted = None if row is None else target.digester.digest(key, encode(row))
        if row is not None and stored is not None:
            names = target.shape.target_columns
            columns = tuple(name for name, a, b in zip(names, row, stored, strict=False) if a != b)
        else:
            columns = ()
        return replace(drifted, columns=columns, cause=cause_of(drifted.kind, drifted.entry_digest == wanted))

    def _round(self, keys: Sequence[bytes], number: int) -> tuple[Open, Mapping[bytes, Row]]:
        """Read these keys again from the SOT, between two fences, and have the owners compare."""
        target = self._target
        before = target.ends()
        deadline = target.deadline()
        read = target.sot.read(keys)
        fence = target.fence.passed(deadline)
        self._report.fence_lsn = self._report.fence_lsn or fence
        after = target.ends()
        for partition, mine in self._by_partition(keys).items():
            rows = [read.rows.get(key) for key in mine]
            digests = [
                b"" if row is None else target.digester.digest(key, encode(row))
                for key, row in zip(mine, rows, strict=True)
            ]
            self._ask(partition, number, before, after, keys=mine, digests=digests)
        return self._collect(deadline), read.rows

    def _watch(self, keys: Sequence[bytes], depth: Depth) -> None:
        nothing = [0] * self._target.partitions
        for partition, mine in self._by_partition(keys).items():
            self._ask(partition, 0, nothing, nothing, depth=depth, keys=mine)
        self._collect(self._target.deadline(), counted=False)

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
            self._report.run,
            target.replica,
            target.table,
            depth,
            between=(before[partition], after[partition]),
            keys=keys,
            chunk=self._chunk,
            round=number,
            fence=self._report.fence_lsn,
            mapping=target.shape.mapping_version,
            **more,
        )
        target.exchange.ask(partition, asked, target.round_seconds)

    def _collect(self, deadline: float, *, counted: bool = True) -> Open:
        """Wait for every answer of this round. Whoever does not answer in time was not checked."""
        target, report = self._target, self._report
        target.exchange.flush()
        found = Open()
        answers = target.exchange.answers(report.run, deadline, target.on_silence)
        while self._expected:
            answer = next(answers, None)
            if answer is None:
                missing, self._expected = len(self._expected), set()
                raise NotReady(
                    f"{missing} requests to the workers of {target.replica} got no answer for {target.table}.",
                    f"Is `holdtrue worker --replica {target.replica}` running, and keeping up? See `holdtrue status`.",
                )
            address = (answer["partition"], answer["round"], answer["chunk"])
            if address in self._expected:
                self._expected.remove(address)
                self._take(answer, found, counted=counted)
        return found

    def _take(self, answer: dict[str, Any], found: Open, *, counted: bool) -> None:
        if answer["incomplete"]:
            raise NotReady(answer["incomplete"])
        if counted:
            self._report.verified += answer["verified"]
        self._report.skipped += answer["skipped"]
        found.undecided.update(answer["undecided"])
        for item in answer["suspected"]:
            found.suspected[item["key"]] = Drifted(
                item["key"], item["kind"], item["entry_digest"], item["other_digest"], item["token"],
                item["other_token"],
            )  # fmt: skip
