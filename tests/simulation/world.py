"""One world: the SOT, its log, Kafka, the workers, the replica, an auditor; and the history that befalls them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import chain
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from faust.types import TP

from streams.agents.owner import Owner
from streams.checks.request import Depth
from streams.errors import StoreUnavailable
from streams.kafka.admin import Life
from streams.plan.policy import Drift
from streams.rows.canonical import Row, encode
from streams.rows.digest import Digester
from streams.sot.reader import EVERYWHERE
from streams.validation.report import Report
from streams.versions.entry import Entry
from streams.versions.marks import Input
from streams.versions.state import ENTRY, ChangelogRecord
from tests.simulation import clock, faults
from tests.simulation.auditor import Auditor, deadline
from tests.simulation.connector import Connector
from tests.simulation.control import Control
from tests.simulation.disk import Machine
from tests.simulation.group import Group
from tests.simulation.history import EVENTS_MIN, Event, History
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.log import Changelog, Partition, Topic
from tests.simulation.sot import Sot, Transaction, key_bytes
from tests.simulation.store import Store
from tests.simulation.worker import CHANGES, CHECKS, PERIOD_SECONDS, REPAIRS, Process, reached, task_factory
from tests.support.drift_topic import DriftTopic
from tests.support.shapes import make_shape

SHAPE = make_shape({"id": "int8", "value": "text"}, ["id"], "public.things")
# Virtual seconds within which everything must have come to rest after the last fault.
REST_SECONDS = 60.0
STEP_SECONDS = 0.05
# Within which continuous checking must have found, told and repaired everything, at rest: three passes, and looks.
# How long after the store lost everything a worker is killed.
FLOOD_SECONDS = 6.0
SCRUB_SECONDS = 3 * PERIOD_SECONDS + 9.0


class World:
    """Everything there is. The seed decides whatever is not decided by an event of the history."""

    shape = SHAPE

    def __init__(self, history: History) -> None:
        self.history = history
        self.settings = history.settings
        self.rng = Random(history.seed)
        self.loop = clock.VirtualLoop()
        self.loop.set_task_factory(task_factory)
        self.trace: list[tuple[float, str, tuple[object, ...]]] = []
        self.counts: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self.keys = range(1, self.settings.keys + 1)
        self.digester = Digester(SHAPE.mapping_version)
        on_continuity = "hold" if history.holds else "continue"
        self.mapping = SimpleNamespace(
            on_failure="dead-letter", on_continuity=on_continuity, lag_max=None, repair=self.settings.repair,
            drift=Drift(flood_above=1) if history.floods else Drift(), others_lag=timedelta(seconds=self.settings.lag),
            mode=history.mode, others_write=history.mode != "replicate", readers_fill=history.mode == "invalidate",
        )  # fmt: skip
        self.drift = DriftTopic("copy")
        self.slow = 1.0
        self.changelog_away = False
        self.answers: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.versions: dict[int, list[str]] = {}
        self.earlier: set[str] = set()
        # Committed offsets, by those who read the topic of now.
        self.applied = [0] * self.settings.partitions
        partitions = self.settings.partitions
        self.sot = Sot()
        self.topic = Topic(partitions)
        self.requests = {topic: [Partition() for _ in range(partitions)] for topic in (CHECKS, REPAIRS)}
        self.changelogs = [Changelog() for _ in range(partitions)]
        self.invariants = Invariants(self)
        self.store = Store(SHAPE, self.rng, self.invariants.written, self.invariants.excuse)
        self.connector = Connector(self.sot, self.topic, self.loop, self.rng, self.invariants.excuse)
        self.group = Group(self.loop, self.rng, partitions)
        self.auditor = Auditor(self)
        self.control = Control(self)
        self.others = faults.WHO[history.mode](self)
        self.sot.on_commit = self.store.on_moved = self.others.look
        self.machines = [Machine() for _ in range(self.settings.workers)]
        self.processes: list[Process | None] = [None] * self.settings.workers
        self.lives: list[Process] = []
        self._script: Iterator[Event] = iter(())

    # A history.

    def run(self) -> None:
        """Live through the history. Raises Violation."""
        with ExitStack() as stack:
            stack.callback(self._close)
            stack.enter_context(clock.virtual_time(self.loop, self.rng))
            for module in ("apply", "backfill", "inbox", "owner", "rebuild", "repairs", "checks", "scrub"):
                stack.enter_context(patch(f"streams.agents.{module}.reached", reached))
            for name, value in self.settings.constants.items():
                stack.enter_context(patch(name, value))
            self._begin()
            last = len(self.history.chapters) - 1
            for number, chapter in enumerate(self.history.chapters):
                self._script = chain(chapter, self._spare() if number == last else ())
                while self.step():
                    pass
                self._rest(final=number == last)

    def _spare(self) -> Iterator[Event]:
        for event in self.history.spare:
            if self.counts["events"] >= EVENTS_MIN:
                return
            yield event

    def _begin(self) -> None:
        first = self.sot.begin()
        for key in self.keys:
            if self.rng.random() < 0.6:
                self.sot.write(first, key, self.value(self.rng))
        self.commit_transaction(first)
        self.sot.show(first)
        self.connector.take_snapshot()
        self.connector.start()
        self.others.start()
        for number in range(len(self.processes)):
            self.start(number)

    def step(self) -> bool:
        """Play the next event; False when the chapter is over."""
        event = next(self._script, None)
        if event is None:
            self.advance(STEP_SECONDS)
            return False
        self.advance(event.pause)
        happened = faults.EVENTS[event.kind].happen(self, Random(event.seed))
        if happened:
            self.count(event.kind)
            self.count("events")
            self.say("%s: %s", event, happened)
        return True

    def wait(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Let the history go on until something is so; False when it is not so in time."""
        until = self.loop.time() + seconds
        while not reached():
            if self.loop.time() >= until:
                return False
            self.step()
        return True

    def go_on(self, seconds: float) -> None:
        """Let the history go on for so long."""
        self.wait(lambda: False, seconds)

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self.loop.run_for(seconds)
        if self.history.holds:
            self.invariants.wait(self.owners())
        if self.violations:
            raise self.violations[0]

    # Rest.

    def _rest(self, *, final: bool) -> None:
        """All faults end; when everything has been applied, every promise must hold. Zombies may sleep on, but not at
        the end of the history.
        """
        self.say("faults end")
        self.store.heal()
        self.others.heal()
        self.sot.unavailable, self.changelog_away, self.slow = False, False, 1.0
        self.connector.undecodable = 0
        self._end_transactions()
        self.sot.others(200)
        for number, process in enumerate(self.processes):
            if process is None or process.dead:
                self.start(number)
            else:
                process.trap = None
                if process.frozen and (final or self._alone(process)):
                    process.thaw()
        self._settle()
        self.invariants.at_rest(self.owners())
        if self.history.floods:
            self._flood()
        if self.history.scrubs:
            self._scrubbed()
        self._mend()
        self._settle()
        self.invariants.at_rest(self.owners())

    def _alone(self, process: Process) -> bool:
        return all(p is None or p.dead or p.frozen for p in self.processes if p is not process)

    def _end_transactions(self) -> None:
        for transaction in list(self.sot.open):
            if not transaction.committed:
                if transaction.waiting or not transaction.changes:
                    self.sot.rollback(transaction)
                    continue
                self.commit_transaction(transaction)
            self.sot.show(transaction)

    def _settle(self) -> None:
        """Wait until everything that was sent has been applied, and nothing is open anywhere."""
        # Late records of stopped connectors are on their way for a while.
        self.advance(0.6)
        until = self.loop.time() + REST_SECONDS
        while (what := self._restless()) is not None:
            if self.loop.time() > until:
                self.violated("it does not come to rest: %s", what)
            self.sot.fence()  # time goes by at the SOT too: others' transactions
            if any(owner.state.hold.pending for owner in self.owners().values()):
                self.control.tell(Depth.resume)
            self.advance(STEP_SECONDS)

    def _restless(self) -> str | None:
        if not self.connector.done:
            return "the connector has not sent everything"
        if self.others.restless:
            return self.others.restless
        if not self.group.settled:
            return "the group is rebalancing"
        if any(self._is_on_its_way(process) for process in self.lives):
            return "a worker that woke up has not come back into the group"
        if self.control.noticing:
            return "control will have the table wait"
        owners = self.owners()
        for partition in range(len(self.changelogs)):
            owner = owners.get(partition)
            if owner is None:
                return f"partition {partition} has no owner"
            if owner.state.topic != str(self.topic.life):
                return f"partition {partition} is of a topic that is no more"
            if owner.held is not None:
                return f"held: {owner.held.reason}"
            if owner.state.input_offset < self.topic.partitions[partition].end - 1:
                return f"partition {partition} is applied up to {owner.state.input_offset}"
            if owner.state.takeover.pending:
                return f"partition {partition} is being rebuilt"
            if owner.state.sweep.pending:
                return f"partition {partition} has a sweep to do"
            if owner.state.backfills.waiting:
                return f"partition {partition} has {owner.state.backfills.waiting} to do"
            if owner.state.suspected:
                return f"{list(owner.state.suspected)} are suspected"
            for topic, requests in self.requests.items():
                if self.group.committed.get(TP(topic, partition), 0) < requests[partition].end:
                    return f"{topic} of partition {partition} are not answered"
            if self.group.committed.get(TP(CHANGES, partition), 0) < owner.state.input_offset + 1:
                return f"partition {partition} is not committed"
        return None

    def _is_on_its_way(self, process: Process) -> bool:
        """It will rebalance the group, and may bring what others have to rebuild."""
        return not process.dead and not process.frozen and process.generation != self.group.generation

    def owners(self) -> dict[int, Owner]:
        """The owner of each partition that has one."""
        found = {}
        for process in dict.fromkeys(self.group.owners.values()):
            if not process.dead and not process.frozen and process.generation == self.group.generation:
                found.update((owner.tp.partition, owner) for owner in process.replica.owners)
        return found

    def _mend(self) -> None:
        """A run finds what differs and nothing else, a repair makes it right, and the next run finds nothing."""
        report = self._validate()
        if report.reason or report.superseded or report.failed or report.skipped:
            self.violated("a run at rest says %s: %s", report.outcome, report)
        found = [drifted.key for drifted in report.drift]
        strange = [key for key in found if key not in self.invariants.excused and not self.others.may_be_told(key)]
        if strange:
            self.violated("%s drifted at rest, and nothing had befallen them", strange)
        if found:
            self._settle()
            (self._backfill if self.history.backfills else self._repair)(found)
            report = self._validate()
        if report.outcome != "correct":
            self.violated("after repairs a run says %s: %s", report.outcome, report.drift)
        self.invariants.made_right()

    def _flood(self) -> None:
        """The store loses every row, and a worker is killed while that is told."""
        for key in self.all_keys():
            self.invariants.excuse(self.store.evict(key, token_too=False))
        self.invariants.flooded = True
        self.advance(self.rng.uniform(0.0, FLOOD_SECONDS))
        number, process = self.rng.choice([(n, p) for n, p in enumerate(self.processes) if p is not None])
        process.kill()
        self.advance(self.rng.uniform(0.0, 1.0))
        self.start(number)
        self._settle()

    def _scrubbed(self) -> None:
        """Continuous checking finds what others did to the replica, within its period, and mends what it is to mend."""
        self.invariants.found.clear()
        self.advance(SCRUB_SECONDS)
        self._settle()
        self.invariants.flooded = False
        self.invariants.scrubbed(self.owners())

    def _repair(self, found: list[bytes]) -> None:
        repaired = self.auditor.repair(found)
        if repaired != set(found):
            self.violated("of %s only %s were repaired", found, repaired)

    def _backfill(self, found: list[bytes]) -> None:
        """What is right is left alone."""
        run = self.auditor.order_backfill(*EVERYWHERE)
        self._settle()
        orders = [owner.state.backfills.of(run) for owner in self.owners().values()]
        done = [(order.written + order.removed, order.failed) for order in orders if order is not None]
        if len(done) < len(self.changelogs) or sum(n for n, _ in done) > len(found) or any(n for _, n in done):
            self.violated("a backfill at rest, with %s in drift, did %s", found, orders)

    def _validate(self) -> Report:
        """A run at rest. An order to wait may come late, of a worker that is dead by now: it is released once more."""
        while (report := self.auditor.validate()).reason.startswith("held") and self.history.holds:
            self._settle()
        return report

    # What happens.

    def start(self, number: int) -> None:
        """Start a worker's next life."""
        process = Process(self, number, len(self.lives) + 1, self.machines[number])
        self.lives.append(process)
        self.processes[number] = process
        self.group.join(process)

    def start_later(self, number: int, seconds: float) -> None:
        """Start a worker again, if nobody else does before."""

        def start() -> None:
            process = self.processes[number]
            if process is None or process.dead:
                self.start(number)

        self.loop.call_later(seconds, start)

    def died(self, process: Process) -> None:
        """Its heartbeats stay away."""
        self.group.rebalance()

    def value(self, rng: Random) -> str:
        """A new value: one that never was, or (in some histories) one of few, so that old content comes back."""
        filtered = "-" if rng.random() < self.settings.filtered else ""
        if self.settings.few_values:
            return filtered + rng.choice("ab")
        self.counts["values"] += 1
        return f"{filtered}v{self.counts['values']}"

    def commit_transaction(self, transaction: Transaction) -> None:
        """Commit, and remember which value came after which."""
        self.sot.commit(transaction)
        if not self.settings.few_values:
            for key, value in transaction.rows.items():
                if value is not None:
                    written = self.versions.setdefault(key, [])
                    if value in self.earlier:
                        continue
                    if value in written:
                        written.remove(value)  # a key change brought it back: nothing can be told of it
                    else:
                        written.append(value)

    def forget_versions(self) -> None:
        """The source is another one: of the values there were, nothing can be told any more."""
        self.earlier.update(self.sot.rows.values())
        self.earlier.update(value for written in self.versions.values() for value in written)
        self.versions.clear()

    def append(self, process: Process, partition: int, records: Sequence[ChangelogRecord]) -> int:
        """The changelog takes records of whoever sends them: Kafka knows no owners."""
        if self.changelog_away:
            raise StoreUnavailable("the changelog is away", "")
        if self.group.owners.get(partition) is not process or process.generation != self.group.generation:
            self.count("zombie wrote to the changelog")
        end = self.changelogs[partition].append(list(records))
        self.say("  changelog of %d up to %d: %s writes %s", partition, end, process, _Entries(records))
        return end

    def commit(self, process: Process, generation: int, done: dict[TP, int]) -> bool:
        """A commit arrives at the group."""
        taken = True
        for tp, last in done.items():
            taken = taken and self.group.commit(process, generation, tp, last + 1)
            if taken and tp.topic == CHANGES and process.life == self.topic.life:
                self.applied[tp.partition] = last + 1
                epoch = process.versions.state(tp.partition).epoch
                self.invariants.committed(tp.partition, last + 1, epoch)
        return taken

    def started(self, process: Process, partition: int, start: int | None, committed: int | None) -> None:
        """A partition is recovered and read on."""
        self.say("%s reads %d from %s (committed %s)", process, partition, start, committed)

    def ask(self, topic: str, partition: int, request: dict[str, Any], seconds: float) -> None:
        """Put a request for a partition's owner on its topic."""
        same = {"replica": "copy", "table": "public.things", "partition": partition}
        self.asked.append({**same, **request, "deadline": deadline(self, seconds)})
        self.requests[topic][partition].append(None, b"%d" % (len(self.asked) - 1), 0)

    def order(self, request: dict[str, Any]) -> None:
        """An owner asks another one, through the check topic."""
        self.asked.append(request)
        self.requests[CHECKS][request["partition"]].append(None, b"%d" % (len(self.asked) - 1), 0)

    def published(self, schema: str, record: dict[str, Any]) -> None:
        """One of our own events is on its topic."""
        if schema == "drift":
            self.drift.send("drift", record["id"], "drift", record)
            if record.get("causes"):
                self.count("number told")
            if self.history.scrubs:
                self.invariants.told(record)
        if schema in ("check-result", "repair-result"):
            self.answers.append(record)
        self.count(f"event {schema}")

    def topic_lives(self, topics: Sequence[str]) -> dict[str, Life]:
        """Which life of the change topic this is."""
        return dict.fromkeys(topics, Life(str(self.topic.life), len(self.changelogs)))

    def latency(self) -> float:
        """How long something outside takes, one way."""
        draw = self.rng.random()
        return self.slow * (draw * 0.004 if draw < 0.95 else draw * 0.2)

    def digest(self, key: bytes, row: Row) -> bytes:
        """A row's digest."""
        return self.digester.digest(key, encode(row))

    def all_keys(self) -> list[bytes]:
        """Every key either side has ever had."""
        return [key_bytes(key) for key in self.keys]

    # What is said of it.

    def say(self, text: str, *args: object) -> None:
        """Remember what happens, for a reader."""
        self.trace.append((self.loop.time(), text, tuple(str(a) if isinstance(a, Process) else a for a in args)))

    def count(self, what: str) -> None:
        """Count what happens, for the statistics."""
        self.counts[what] += 1

    def violated(self, text: str, *args: object) -> None:
        """Something that must never be has happened."""
        self.say("VIOLATED " + text, *args)
        self.violations.append(Violation(text, text % args))
        if not self.loop.is_running():
            raise self.violations[0]

    def _close(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            task.cancel()
        self.loop.run_for(0)
        self.loop.close()


class _Entries:
    """Changelog records, put into words when somebody reads them."""

    def __init__(self, records: Sequence[ChangelogRecord]) -> None:
        self._records = records

    def __str__(self) -> str:
        entries = {key[1:]: Entry.decode(value) for key, value in self._records if key.startswith(ENTRY)}
        marks = [Input.decode(value)[:2] for key, value in self._records if key.endswith(b"input")]
        told = [f"{k!r} {tuple(e.token)}{'' if e.digest else ' dead'}{e.unproven or ''}" for k, e in entries.items()]
        return f"{', '.join(told)} input {marks}"
