"""A table in four replicas, checked all the time under load; drift planted in them, and what must be true afterwards.

Which keys are wrong is known here, since nobody else touches them. What is told of them is read where anybody would:
from the drift topic, from control's database, and from what the commands say.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from streams.local.stack import Stack
from tests.faulttable.hands import DynamoHands, Hands, PostgresHands, RedisHands
from tests.support.bank import PROGRAM, Bank
from tests.support.load import KEYS, Load
from tests.support.looks import dynamodb
from tests.support.other_writer import OtherWriter
from tests.support.plans import POLICIES, STORES
from tests.support.processes import Worker
from tests.support.wait import wait_until

ITEM: Final = "public.item"
ROWS: Final = 4_000
# Beyond the keys of the load every tenth is one that the source does not have.
DDL: Final = f"""
CREATE TABLE item (id int PRIMARY KEY, note text);
INSERT INTO item SELECT n, 'note ' || n FROM generate_series(1, {ROWS}) n WHERE n <= {KEYS} OR n % 10 <> 0;
ANALYZE item;
"""
# 300 changes a second and more; of these DynamoDB Local gets every fourth, for which it is slow.
REST_SECONDS: Final = 0.002
OF_DYNAMODB: Final[list[dict[str, Any]]] = [{"column": "id", "op": ">", "value": KEYS * 3 // 4}]
CONTROL, THEIRS = "control", "theirs"
BLOCK_KEYS: Final = 40
# What is planted in ten keys, by the last digit; the others are left alone.
KINDS: Final = {0: "orphan", 1: "missing", 2: "mismatch", 3: "mismatch", 4: "mismatch"}
RUN_ENDED: Final = ("run-finished", "consistency-validated")
SIGHTINGS: Final = ("suspected", "open")
SECONDS: Final = 180.0


def plan_of(bank: Bank, replicas: Collection[str]) -> None:
    """Everything is checked all the time and nothing is repaired by itself; `theirs` is somebody else's."""
    checks = {"depths": ["counts"], "every": "7d", "scrub_period": "8s"}
    late = {"kind": "eventual", "lag": "1h"}
    ours = {**POLICIES, "consistency": late, "validation": checks}
    declared = bank.document["replicas"]
    for name, spec in declared.items():
        spec["defaults"] = {**ours, "validation": {**checks, "replica_log": name == "reports"}}
    if THEIRS in replicas:
        theirs = {**ours, "mode": "verify", "consistency": {**late, "lag": "5s"}}
        where = {"token_schema": "their_tokens", "tables": {ITEM: {"to": "theirs.item"}}}
        declared[THEIRS] = {**STORES["reports"], "defaults": theirs, **where}
    bank.write_plan()


@dataclass(slots=True)
class Watched:
    """The bank with all its processes, by name, and what was planted: the kind of each key, by replica."""

    bank: Bank
    hands: dict[str, Hands]
    exits: ExitStack
    processes: dict[str, Worker] = field(default_factory=dict)
    planted: dict[tuple[str, int], str] = field(default_factory=dict)
    load: Load | None = None
    _next: int = KEYS + 1 + BLOCK_KEYS // 2

    def start(self, *names: str, **env: str) -> None:
        """Start these processes, or all."""
        for name in names or (*self.hands, CONTROL):
            self.processes[name] = self.bank.control() if name == CONTROL else self.bank.worker(name, **env)

    def kill(self, names: Iterable[str], *more: Worker) -> None:
        """SIGKILL, all at once, whoever still runs."""
        gone = [*(self.processes[name] for name in names), *more]
        for process in gone:
            process.process.kill()
        for process in gone:
            process.wait_end()

    def begun(self, *words: str) -> Worker:
        """A command, beside which others go on."""
        log = self.bank.folder / f"{words[0]}-{len(list(self.bank.folder.iterdir()))}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                (PROGRAM, *words), env=self.bank.env, stdout=output, stderr=output, cwd=self.bank.folder
            )
        self.exits.callback(process.kill)
        return Worker(process, log)

    def json(self, *words: str, codes: Sequence[int] = (0,)) -> Any:
        """What a command says as JSON."""
        ran = self.bank.run("--format", "json", *words)
        assert ran.returncode in codes, f"{' '.join(words)}: exit {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return json.loads(ran.stdout)

    def plant(self, replica: str) -> range:
        """Make some keys of this replica wrong, in one transaction where it has any; gives the range they are in."""
        block = range(self._next, self._next + BLOCK_KEYS)
        self._next += BLOCK_KEYS
        with self.hands[replica].together():
            for key in block:
                if (kind := KINDS.get(key % 10)) is not None:
                    row = None if kind == "missing" else {"id": str(key), "note": "somebody else's"}
                    self.hands[replica].write(key, row)
                    self.planted[replica, key] = kind
        return block

    def caught_up(self) -> None:
        """Every replica has applied what the source has committed by now."""
        for replica in self.hands:
            self.bank.wait_caught_up(replica, seconds=SECONDS)

    def open_keys(self) -> dict[tuple[str, int], str]:
        """The kind of each key that is in drift, as control knows it."""
        return kinds(self.known("SELECT * FROM holdtrue.drift WHERE state IN ('open', 'repairing', 'repaired')"))

    def wait_told(self, block: range) -> None:
        """Until control knows of every key that was planted there."""
        wanted = {place for place in self.planted if place[1] in block}
        left = lambda: wanted - self.open_keys().keys()  # noqa: E731
        wait_until(lambda: not left(), lambda: f"{left()} to be told", SECONDS)

    def known(self, query: str) -> list[dict[str, Any]]:
        """Rows of control's database."""
        with psycopg.connect(self.bank.env["HOLDTRUE_CONTROL_DSN"], row_factory=dict_row) as control:
            return control.execute(query).fetchall()  # type: ignore[call-overload,no-any-return]

    def marks(self) -> dict[str, Any]:
        """Through what each replica is verified, as `status` has it."""
        return {row["replica"]: row["verified_through"] for row in self._status()}

    def _status(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.json("status", codes=(0, 3))["tables"]
        return rows

    def settle(self) -> None:
        """What is wrong is told, and counted alike by all who count; it is repaired as a person would."""
        wrong = {place: self.planted[place] for place in self._wrong()}
        wait_until(
            lambda: wrong.items() <= self.open_keys().items(), lambda: f"{wrong}, not {self.open_keys()}", SECONDS
        )
        self.bank.done("repair", "plan", "--file", "all.json")  # control has taken in all of it
        listed = kinds(self.json("drift", "list", "--state", "open-all")["drift"])
        assert listed == self.open_keys()
        counted = Counter(replica for replica, _ in listed)
        assert {row["replica"]: row["drift_open"] for row in self._status()} == {n: counted[n] for n in self.hands}
        control = self.processes[CONTROL]
        metric = lambda: {n: control.metric("holdtrue_drift_open", replica=n) for n in self.hands}  # noqa: E731
        wait_until(lambda: metric() == {n: counted[n] for n in self.hands}, lambda: f"{counted}: {metric()}", SECONDS)
        self.bank.done("repair", "apply", "all.json", "--reason", "planted")

    def _wrong(self) -> list[tuple[str, int]]:
        """Which of the planted keys are wrong now, read with the stores' own drivers."""
        expected = {n: self.bank.expected(n, ITEM) for n in self.hands}
        actual = {n: self.bank.actual(n, ITEM) for n in self.hands}
        return [(n, key) for n, key in self.planted if expected[n].get((str(key),)) != actual[n].get((str(key),))]

    def audit(self, replica: str) -> None:
        """Nothing is lost, and nothing is counted twice; a run finds all of this replica right."""
        self.caught_up()
        wait_until(lambda: self.bank.run("status").returncode == 0, lambda: f"all well: {self._status()}", SECONDS)
        assert self.load is not None
        with self.load.paused():
            self.caught_up()
            for name in self.hands:
                if name == THEIRS:
                    self.bank.wait_equal(name)  # the other writer comes later
                assert self.bank.difference(name) == {}
            (run,) = self.bank.validate("--replica", replica, "--depth", "full")
            assert run["outcome"] == "correct", run
        self._audit_drift()
        self._audit_runs(run["run"])
        self._audit_backfills()
        assert self.bank.events("dlq") == []
        self.bank.done("audit", "verify")

    def _audit_drift(self) -> None:
        """Each planted key is one drift, in one life, seen as often as the topic says; no other key is any."""
        drift = self.known("SELECT * FROM holdtrue.drift")
        assert kinds(drift) == self.planted
        assert len(drift) == len(self.planted)
        assert {(row["state"], row["lives"]) for row in drift} == {("resolved", 1)}, drift
        events = self.bank.events("drift")
        assert {row["id"]: row["times_seen"] for row in drift} == dict(seen(events))
        steps = Counter((event["run"], event["repair"], event["id"], event["state"]) for event in events)
        twice = {step: times for step, times in steps.items() if times > 1 and step[:2] != (None, None)}
        assert twice == {}
        refused = self.known("SELECT id, state, before, at FROM holdtrue.drift_events WHERE verdict = 'refused'")
        assert refused == []

    def _audit_runs(self, last: str) -> None:
        """Each has ended once; the mark is that of the last one that has looked at every key and found it right."""
        has_last = lambda: self.known(f"SELECT run FROM holdtrue.runs WHERE run = '{last}'")  # noqa: E731
        wait_until(has_last, f"control to take in {last}")
        told = [signal for signal in self.bank.events("signals") if signal["type"] in RUN_ENDED]
        ended = Counter(signal["run"] for signal in told)
        runs = self.json("runs", "list", "--limit", "1000")["runs"]
        assert Counter(run["run"] for run in runs) == ended
        assert set(ended.values()) <= {1}
        moved = [run for run in runs if run["verified_through"] is not None]
        names = ("drift_found", "superseded", "skipped", "failed")
        assert {(run["outcome"], *(run[name] for name in names)) for run in moved} <= {("correct", 0, 0, 0, 0)}
        newest = {
            n: max((lsn(r["verified_through"]) for r in moved if r["replica"] == n), default=0) for n in self.hands
        }
        assert {n: lsn(mark["position"]) if mark else 0 for n, mark in self.marks().items()} == newest

    def _audit_backfills(self) -> None:
        """The last order of each range was followed to its end."""
        signals = sorted(self.bank.events("signals"), key=lambda signal: signal["at"])
        ordered = {
            (signal["replica"], signal["detail"]["range"]): signal["detail"]["backfill"]
            for signal in signals
            if signal["type"] == "backfill-ordered"
        }
        validated = {signal["detail"]["backfill"] for signal in signals if signal["type"] == "backfill-validated"}
        assert set(ordered.values()) <= validated


def kinds(drift: Iterable[dict[str, Any]]) -> dict[tuple[str, int], str]:
    """By replica and key, of rows that name keys."""
    return {(row["replica"], int(row["key"]["id"])): row["kind"] for row in drift}


def lsn(text: str) -> int:
    """A position as a number."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def seen(events: Iterable[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """How often each drift was seen: its sightings, of which each is later than the one before."""
    last: dict[str, Any] = {}
    times = Counter[str]()
    for event in events:
        if event["state"] in SIGHTINGS and (event["id"] not in last or event["last_seen"] > last[event["id"]]):
            last[event["id"]] = event["last_seen"]
            times[event["id"]] += 1
    yield from times.items()


def watched(stack: Stack, folder: Path, replicas: Collection[str]) -> Iterator[Watched]:
    """These of the four replicas, running, under load; everything is ended with it."""
    mappings: dict[str, dict[str, Any]] = {"reports": {}, "cache": {}, "lookup": {"where": OF_DYNAMODB}}
    ours = {name: {ITEM: mapping} for name, mapping in mappings.items() if name in replicas}
    with ExitStack() as exits:
        bank = Bank(stack, folder, DDL, {ITEM: ["id"]}, ours)
        exits.callback(bank.close)
        bank.env["HOLDTRUE_RUN_DIR"] = str(folder / "runs")
        plan_of(bank, replicas)
        if THEIRS in replicas:
            _fill_theirs(bank, exits)
        made = Watched(bank, {name: _hands(bank, exits, name) for name in bank.document["replicas"]}, exits)
        bank.apply()
        made.start()
        made.caught_up()
        made.load = Load(bank.env["HOLDTRUE_SOT_DSN"], "item", rest=REST_SECONDS)
        exits.callback(made.load.stop)
        yield made


def _fill_theirs(bank: Bank, exits: ExitStack) -> None:
    dsn = bank.env["HOLDTRUE_REPLICA_DSN"]
    with psycopg.connect(dsn, autocommit=True) as replica:
        replica.execute("CREATE SCHEMA theirs")
        replica.execute("CREATE TABLE theirs.item (id int PRIMARY KEY, note text)")
        rows = bank.sot.execute("SELECT id, note FROM item").fetchall()
        with replica.cursor() as cursor:
            cursor.executemany("INSERT INTO theirs.item VALUES (%s, %s)", rows)
    in_their_schema = f"{dsn}?options=-csearch_path%3Dtheirs"
    exits.callback(OtherWriter(bank.env["HOLDTRUE_SOT_DSN"], in_their_schema, "item", KEYS).stop)


def _hands(bank: Bank, exits: ExitStack, replica: str) -> Hands:
    dsn = bank.env["HOLDTRUE_REPLICA_DSN"]
    made: Hands
    match replica:
        case "cache":
            made = RedisHands(bank.env["HOLDTRUE_REDIS_URL"], f"{bank.name}:item:", ITEM)
        case "lookup":
            made = DynamoHands(exits.enter_context(dynamodb(bank.env)), bank.mapping(replica, ITEM)["to"])
        case "theirs":
            made = PostgresHands(dsn, "theirs.item", "their_tokens")
        case _:
            made = PostgresHands(dsn, ITEM, "holdtrue")
    exits.callback(made.close)
    return made
