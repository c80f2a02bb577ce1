"""What runs: a table under load, and for each layer of checking a replica in which it alone looks.

`steady` checks only keys that were just written, and is what runs are made of; `scrub` visits every key and lists the
store's own within a short period; `log` follows the replica's own log. Each has its own target of the same table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
import yaml

from streams.bench import subject
from streams.bench.load import Load
from streams.control.topic import TopicReader
from streams.kafka.registry import Registry
from streams.local.stack import Stack
from tests.faulttable.hands import DynamoHands, Hands, PostgresHands, RedisHands
from tests.faulttable.layers import Layer, Store
from tests.faulttable.watch import Watch
from tests.support.bank import Bank
from tests.support.looks import dynamodb
from tests.support.plans import POLICIES, STORES
from tests.support.processes import Worker
from tests.support.wait import wait_until

STEADY, SCRUB, LOG = "steady", "scrub", "log"
KINDS: Final = ("missing", "orphan", "stale", "mismatch")
START_SECONDS: Final = 240.0
# DynamoDB has only some hundred rows, those of the faults among them: its local server is no match for the load, and
# what it is behind every run waits for.
KEY_STEP: Final = 5
DYNAMODB_ROWS: Final = 400
OF_DYNAMODB: Final[list[dict[str, Any]]] = [
    {"column": "express", "op": "=", "value": True},  # every fifth
    {"column": subject.KEY, "op": "<=", "value": KEY_STEP * DYNAMODB_ROWS},
]
_STACK: Final = {Store.postgres: "reports", Store.redis: "cache", Store.dynamodb: "lookup"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for. keys: how many are made wrong by each fault in each replica."""

    stores: tuple[Store, ...] = tuple(Store)
    rows: int = 4_000
    rate: int = 1_000
    scrub_period: int = 15
    keys: int = 3
    seed: int = 1


def replica(store: Store, role: str) -> str:
    """The name of the replica of this kind in which that layer alone looks."""
    return f"{store}_{role}"


@dataclass(slots=True)
class Scene:
    """The bank with its workers, and what the faults need of it. before: copies of rows as they were once.

    records: the change topic before the load began.
    """

    bank: Bank
    asked: Asked
    load: Load
    watch: Watch
    hands: dict[str, Hands]
    workers: dict[str, Worker]
    steady_plan: Path
    cold: range
    note: Callable[[str], None]
    before: dict[tuple[str, int], Any] = field(default_factory=dict)
    records: list[Any] = field(default_factory=list)

    def replicas(self, role: str | None = None) -> list[str]:
        """Names of the replicas, of one role if it is given."""
        return [name for name in self.hands if role is None or name.endswith(f"_{role}")]

    def run(self, *words: str, plan: Path | None = None) -> Any:
        """The JSON of a command that may end with 0 or 3."""
        env = {"HOLDTRUE_PLAN": str(plan)} if plan else {}
        ran = self.bank.run("--format", "json", "--quiet", *words, env=env)
        assert ran.returncode in (0, 3), f"{' '.join(words)}: exit {ran.returncode}\n{ran.stderr}"
        return json.loads(ran.stdout) if ran.stdout.strip() else None

    def validate(self, depth: Layer, *, every_replica: bool = False) -> list[dict[str, Any]]:
        """A run of the steady replicas, or of all. Beside Postgres, checksums is a full run: not made twice."""
        # Half of the rows: enough that some of a fault's keys are among them, and some are not.
        sample = ("--keys", str(self.asked.rows // 2)) if depth is Layer.sample else ()
        only = ("--replica", replica(Store.postgres, STEADY)) if depth is Layer.checksums else ()
        plan = None if every_replica else self.steady_plan
        results: list[dict[str, Any]] = self.run("validate", "--depth", depth, *only, *sample, plan=plan)["results"]
        return results

    def repair(self) -> None:
        """All drift that is open, as a person would: a plan into a file, then that file."""
        file = self.bank.folder / "repair.json"
        self.run("repair", "plan", "--file", str(file))
        if json.loads(file.read_text())["items"]:
            self.run("repair", "apply", str(file), "--reason", "the fault table", "--above-threshold")

    def caught_up(self, names: Sequence[str] = ()) -> None:
        """Until these replicas, or all, have applied everything that the source has committed by now."""
        for name in names or self.replicas():
            self.bank.wait_caught_up(name, seconds=START_SECONDS)

    def change(self, keys: Sequence[int], revision: int) -> None:
        """Change rows in the source."""
        subject.change(self.bank.sot, list(keys), revision)

    def unequal(self, keys: Sequence[int]) -> dict[str, list[int]]:
        """Which of these keys differ between the source and each replica: read by the stores' own drivers."""
        wanted = _sot_rows(self.bank.sot, keys)
        found = {}
        for name, hands in self.hands.items():
            filtered = name.startswith(Store.dynamodb)
            wrong = [key for key in keys if not same(_filtered(wanted.get(key), filtered), hands.copy(key).row)]
            if wrong:
                found[name] = wrong
        return found


def _sot_rows(sot: psycopg.Connection[Any], keys: Sequence[int]) -> dict[int, dict[str, str | None]]:
    query = f"SELECT id, row_to_json(t)::text FROM {subject.TABLE} t WHERE id = ANY(%s)"
    rows = sot.execute(query, (list(keys),)).fetchall()  # type: ignore[arg-type]
    return {key: json.loads(row, parse_float=str) for key, row in rows}


def _filtered(row: Mapping[str, Any] | None, filtered: bool) -> Mapping[str, Any] | None:
    return None if row is None or (filtered and not _is_of_dynamodb(row)) else row


def _is_of_dynamodb(row: Mapping[str, Any]) -> bool:
    return bool(row["express"]) and int(row[subject.KEY]) <= OF_DYNAMODB[1]["value"]


def same(wanted: Mapping[str, Any] | None, held: Mapping[str, str | None] | None) -> bool:
    """Compared as values: each store writes moments and numerics in its own way."""
    if wanted is None or held is None:
        return wanted is held
    return {name: plain(name, value) for name, value in wanted.items()} == {
        name: plain(name, value) for name, value in held.items()
    }


def plain(name: str, value: Any) -> str | None:
    """One form for what the stores write differently."""
    if value is None:
        return None
    if name == "total":
        return f"{float(value):.4f}"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if name in ("ordered_at", "changed_at"):
        text = text.replace("T", " ").replace("+00:00", "+00")
        text = text.rstrip("0") if name == "ordered_at" and "." in text else text
    return text


@contextmanager
def staged(
    stack: Stack, folder: Path, asked: Asked, cold: range, dead: Sequence[int], note: Callable[[str], None]
) -> Iterator[Scene]:
    """The table in every replica, `cold` changed once since it was copied and `dead` deleted, workers and load running.

    `before` of the scene has the rows of `cold` as they were before that.
    """
    with ExitStack() as exits:
        bank = Bank(stack, folder, "SELECT 1", {subject.TABLE: [subject.KEY]}, {})
        exits.callback(bank.close)
        bank.sot.close()
        bank.sot = subject.connect(bank.env["HOLDTRUE_SOT_DSN"])
        subject.create(bank.sot, subject.TABLE)
        subject.load(bank.sot, asked.rows)
        hands = _replicas(bank, asked, exits)
        note(f"{asked.rows:,} rows, {len(hands)} replicas: waiting for the snapshot")
        bank.apply()
        bank.control()
        workers = {name: bank.worker(name) for name in hands}
        reader = TopicReader(
            bank.env["HOLDTRUE_KAFKA"], bank.own_topic("drift"), "drift", Registry(bank.env["HOLDTRUE_REGISTRY"])
        )
        watch = exits.enter_context(Watch(reader))
        load = Load(bank.env["HOLDTRUE_SOT_DSN"], asked.rows, cold, asked.rate, asked.seed)
        scene = Scene(bank, asked, load, watch, hands, workers, _steady_plan(bank), cold, note)
        scene.caught_up()
        for name, each in hands.items():
            scene.before.update({(name, key): each.copy(key) for key in cold})
        scene.change(cold, 1)
        subject.delete(bank.sot, list(dead))
        scene.caught_up()
        scene.records = bank.records(subject.TABLE)
        exits.enter_context(load)
        yield scene


def _replicas(bank: Bank, asked: Asked, exits: ExitStack) -> dict[str, Hands]:
    """Write the plan, make the targets of Postgres; hands for each replica."""
    hands: dict[str, Hands] = {}
    client = exits.enter_context(dynamodb(bank.env)) if Store.dynamodb in asked.stores else None
    with subject.connect(bank.env["HOLDTRUE_REPLICA_DSN"]) as target:
        for store in asked.stores:
            for role in (STEADY, SCRUB, *((LOG,) if store is Store.postgres else ())):
                name = replica(store, role)
                bank.document["replicas"][name] = spec = _spec(bank.name, store, role, asked)
                mapping = spec["tables"][subject.TABLE]
                if store is Store.postgres:
                    subject.create(target, mapping["to"])
                    dsn = bank.env["HOLDTRUE_REPLICA_DSN"]
                    hands[name] = PostgresHands(dsn, mapping["to"], spec["token_schema"])
                elif store is Store.redis:
                    prefix = mapping["key"].partition("{")[0]
                    hands[name] = RedisHands(bank.env["HOLDTRUE_REDIS_URL"], prefix, subject.TABLE)
                else:
                    hands[name] = DynamoHands(client, mapping["to"])
                exits.callback(hands[name].close)
    bank.write_plan()
    return hands


def _spec(plan: str, store: Store, role: str, asked: Asked) -> dict[str, Any]:
    period = f"{asked.scrub_period}s" if role == SCRUB else "7d"
    validation: dict[str, Any] = {"depths": ["counts"], "every": "7d", "scrub_period": period}
    if role == LOG:
        validation["replica_log"] = True
    repair = {"automatic": list(KINDS), "stop_above": 1_000}
    defaults = {**POLICIES, "consistency": {"kind": "eventual", "lag": "1h"}, "validation": validation,
                "repair": repair}  # fmt: skip
    mapping: dict[str, Any] = {}
    spec = {**STORES[_STACK[store]], "defaults": defaults, "tables": {subject.TABLE: mapping}}
    if store is Store.postgres:
        spec["token_schema"] = f"tokens_{role}"
        mapping["to"] = f"{role}.{subject.NAME}"
    elif store is Store.redis:
        mapping["key"] = f"{plan}:{role}:{{{subject.KEY}}}"
    else:
        mapping.update({"to": f"{plan}_{role}", "tombstones": "attribute", "where": OF_DYNAMODB})
    return spec


def _steady_plan(bank: Bank) -> Path:
    """The same plan as far as runs are made under it."""
    replicas = {name: spec for name, spec in bank.document["replicas"].items() if name.endswith(STEADY)}
    path = bank.folder / "steady.yaml"
    path.write_text(yaml.safe_dump({**bank.document, "replicas": replicas}, sort_keys=False))
    return path


def wait_all(there: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true within that time; for what may rightly not come."""
    try:
        wait_until(there, "it", seconds)
    except AssertionError:
        return False
    return True
