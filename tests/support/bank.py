"""A bank of its own for a test: databases, plan, connector, workers, and a look at every store from outside.

Nothing of the compared path is used to compare: rows are read with the stores' own drivers, and filters and renames are
taken from the plan's text.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import redis
import requests
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.groups import has_members
from streams.local.stack import Stack
from tests.support.databases import create, drop, environment
from tests.support.looks import Rows, redis_rows, sot_rows, store_rows
from tests.support.plans import Replicas, Tables, plan_document
from tests.support.processes import Worker, stop_all
from tests.support.topic import raw, values
from tests.support.wait import wait_until

PROGRAM = str(Path(sys.executable).with_name("holdtrue"))
COMMAND_SECONDS = 180


class Bank:
    """One plan on the shared servers. `tables`: name → key columns; `replicas`: store → table → mapping.

    The SOT, the Postgres replica and the control database are databases named after the bank; Redis keys and DynamoDB
    tables begin with its name. `sot`: DSN of another server than the stack's for the SOT.
    """

    def __init__(
        self,
        stack: Stack,
        folder: Path,
        ddl: str,
        tables: Tables,
        replicas: Replicas,
        *,
        partitions: int = 2,
        source: Mapping[str, Any] | None = None,
        sot: str = "",
    ) -> None:
        self.stack = stack
        self.folder = folder
        self.name = f"b{uuid.uuid4().hex[:8]}"
        self.workers: list[Worker] = []
        self._consumers: dict[str, Consumer] = {}
        self.env = environment(stack, self.name, folder, sot)
        create(self.env)
        self.sot = psycopg.connect(self.env["HOLDTRUE_SOT_DSN"], autocommit=True)
        self.sot.execute(ddl)  # type: ignore[arg-type]
        self.document = plan_document(self.name, tables, replicas, partitions=partitions, source=source)
        self.path = folder / f"{self.name}.yaml"
        self.write_plan()

    @property
    def slot(self) -> str:
        """Name of the replication slot."""
        return f"holdtrue_{self.name}"

    def topic(self, table: str) -> str:
        """Change topic of a table."""
        return f"{self.name}.{table}"

    def own_topic(self, name: str) -> str:
        """One of the project's own topics."""
        return f"{self.name}-own.{name}"

    def group(self, replica: str) -> str:
        """Consumer group of a replica's workers."""
        return f"holdtrue.{self.name}.{replica}"

    def write_plan(self) -> None:
        """Bring the plan's file to what `document` says."""
        self.path.write_text(yaml.safe_dump(self.document, sort_keys=False))

    def run(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """One `holdtrue` command with this bank's environment."""
        return subprocess.run(
            (PROGRAM, *words), env={**self.env, **(env or {})}, capture_output=True, text=True,
            timeout=COMMAND_SECONDS, check=False, cwd=self.folder,
        )  # fmt: skip

    def done(self, *words: str) -> str:
        """The same, which must succeed; its stdout."""
        ran = self.run(*words)
        assert ran.returncode == 0, f"{' '.join(words)}: exit {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def apply(self) -> None:
        """Topics, schemas, connector."""
        self.done("topics", "apply")
        self.done("schemas", "register")
        self.done("connectors", "apply")

    def worker(self, replica: str, *, instance: str = "0", **env: str) -> Worker:
        """Start a worker; it is stopped with the bank if not before."""
        return self._start(f"{replica}-{instance}", "--replica", replica, "--instance", instance, **env)

    def control(self, *, instance: str = "0", **env: str) -> Worker:
        """Start the control worker."""
        return self._start("control", "--control", "--instance", instance, **env)

    def _start(self, name: str, *words: str, **env: str) -> Worker:
        log = self.folder / f"{name}-{len(self.workers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                (PROGRAM, "worker", *words), env={**self.env, **env}, stdout=output, stderr=output, cwd=self.folder
            )
        self.workers.append(Worker(process, log))
        return self.workers[-1]

    def start(self) -> None:
        """Topics, schemas, connector, and a worker for each replica."""
        self.apply()
        for replica in self.document["replicas"]:
            self.worker(replica)

    def stop(self) -> None:
        """End every worker, each of which must still run and end well."""
        assert stop_all(self.workers) == [0] * len(self.workers)

    def open_drift(self, replica: str) -> int:
        """How many drifts of a replica control knows to be open; -1 before it has made its schema."""
        ran = self.run("--format", "json", "drift", "list", "--replica", replica, "--state", "open-all")
        if "control never started" in ran.stderr:
            return -1
        assert ran.returncode == 0, ran.stderr
        return len(json.loads(ran.stdout)["drift"])

    def redis(self) -> redis.Redis:
        """A client of the Redis replica."""
        return redis.Redis.from_url(self.env["HOLDTRUE_REDIS_URL"])

    def wait_published(self, seconds: float = 60.0) -> None:
        """Until Kafka has everything the SOT has committed by now."""
        with psycopg.connect(self.env["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
            emit = "SELECT pg_logical_emit_message(true, 'holdtrue', 'tests')::text"
            mark = sot.execute(emit).fetchone()[0]  # type: ignore[index]
            sot.execute(emit)
            query = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
            wait_until(
                lambda: sot.execute(query, (mark, self.slot)).fetchone() == (True,), f"slot {self.slot} at {mark}",
                seconds,
            )  # fmt: skip

    def wait_caught_up(self, replica: str, *tables: str, seconds: float = 90.0) -> None:
        """Until the replica's group has committed everything that is in the change topics now."""
        self.wait_published(seconds)
        ends = self.ends(*(tables or self.document["replicas"][replica]["tables"]))
        wait_until(
            lambda: all(self.committed(replica).get(tp, 0) >= end for tp, end in ends.items()),
            lambda: f"{replica} to commit {ends}, not {self.committed(replica)}\n{self._last_said()}", seconds,
        )  # fmt: skip

    def ends(self, *tables: str) -> dict[tuple[str, int], int]:
        """End offsets of change topics."""
        places = [(self.topic(table), n) for table in tables for n in range(self._partitions(table))]
        return {tp: self.consumer().get_watermark_offsets(TopicPartition(*tp), timeout=10)[1] for tp in places}

    def committed(self, replica: str) -> dict[tuple[str, int], int]:
        """Offsets the group has committed, of partitions where it has."""
        tables = self.document["replicas"][replica]["tables"]
        places = [TopicPartition(self.topic(t), n) for t in tables for n in range(self._partitions(t))]
        found = self.consumer(self.group(replica)).committed(places, 10)
        return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}

    def consumer(self, group: str = "tests") -> Consumer:
        """A consumer of this group that joins nothing and commits nothing; closed with the bank."""
        if group not in self._consumers:
            self._consumers[group] = Consumer(
                {"bootstrap.servers": self.env["HOLDTRUE_KAFKA"], "group.id": group, "enable.auto.commit": False,
                 "log_level": 0}
            )  # fmt: skip
        return self._consumers[group]

    def produce(
        self, topic: str, value: bytes | None, *, key: bytes | None = b"k", partition: int = 0, source: str = ""
    ) -> None:
        """Put one raw record into a topic."""
        producer = Producer({"bootstrap.servers": self.env["HOLDTRUE_KAFKA"], "log_level": 0})
        producer.produce(topic, value, key, partition, headers=[("origin", b"test"), ("ce_source", source.encode())])
        assert producer.flush(20) == 0

    def events(self, name: str) -> list[dict[str, Any]]:
        """Everything on one of our own topics, decoded."""
        return values(self.consumer(), self.own_topic(name), self.env["HOLDTRUE_REGISTRY"])

    def records(self, table: str) -> list[Any]:
        """Every message of a change topic."""
        return raw(self.consumer(), self.topic(table))

    def wait_event(self, name: str, seconds: float = 60.0, **fields: Any) -> dict[str, Any]:
        """Until an event with these fields is on the topic; the first one."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [e for e in self.events(name) if all(e[field] == value for field, value in fields.items())]
            return bool(found)

        wait_until(look, f"an event {fields} on {name}", seconds)
        return found[0]

    def delete_records(self, table: str, before: int, partition: int = 0) -> None:
        """Have Kafka forget the first records of a change topic, as retention does."""
        admin = AdminClient({"bootstrap.servers": self.env["HOLDTRUE_KAFKA"], "log_level": 0})
        for future in admin.delete_records([TopicPartition(self.topic(table), partition, before)]).values():
            future.result(20)

    def members(self, replica: str) -> dict[str, int]:
        """Of each worker in the replica's group, by its --instance, how many partitions it has."""
        admin = AdminClient({"bootstrap.servers": self.env["HOLDTRUE_KAFKA"], "log_level": 0})
        group = self.group(replica)
        described = admin.describe_consumer_groups([group], request_timeout=10)[group].result(20)
        return {
            member.group_instance_id.removeprefix(f"{group}.").partition(".")[0]: len(
                member.assignment.topic_partitions if member.assignment else ()
            )
            for member in described.members
        }

    def delete_group(self, replica: str) -> None:
        """Have Kafka forget a replica's group, as it does when it has been empty for long."""
        bootstrap = self.env["HOLDTRUE_KAFKA"]
        wait_until(lambda: not has_members(bootstrap, self.group(replica), 0), "the stopped workers to be given up", 60)
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        for future in admin.delete_consumer_groups([self.group(replica)]).values():
            future.result(20)

    def delete_topics(self, *names: str) -> None:
        """Delete topics and wait until they are gone."""
        admin = AdminClient({"bootstrap.servers": self.env["HOLDTRUE_KAFKA"], "log_level": 0})
        for future in admin.delete_topics(list(names)).values():
            future.result(20)
        wait_until(lambda: not set(names) & set(admin.list_topics(timeout=10).topics), f"{names} to be gone")

    def expected(self, replica: str, table: str) -> Rows:
        """What the replica must hold, read from the SOT now."""
        return sot_rows(self.env["HOLDTRUE_SOT_DSN"], table, self.document["tables"][table]["key"],
                        self.mapping(replica, table))  # fmt: skip

    def actual(self, replica: str, table: str) -> Rows:
        """What the replica holds now."""
        spec = self.document["replicas"][replica]
        key, mapping = self.document["tables"][table]["key"], self.mapping(replica, table)
        if spec["kind"] == "redis":
            return redis_rows(self.env[spec["url"]["env"]], key, mapping)
        return store_rows(spec["kind"], self.env, table, key, mapping)

    def mapping(self, replica: str, table: str) -> Mapping[str, Any]:
        """The mapping as the plan's text has it."""
        return self.document["replicas"][replica]["tables"][table] or {}

    def difference(self, replica: str) -> dict[str, Any]:
        """Keys that differ between SOT and replica, with both sides, by table; empty when all is equal."""
        found: dict[str, Any] = {}
        for table in self.document["replicas"][replica]["tables"]:
            want, have = self.expected(replica, table), self.actual(replica, table)
            wrong = {key: (want.get(key), have.get(key)) for key in want.keys() | have.keys()
                     if want.get(key) != have.get(key)}  # fmt: skip
            if wrong:
                found[table] = dict(list(wrong.items())[:10])
        return found

    def check_equal(self) -> None:
        """Every replica commits what is in its topics, and then holds what it must."""
        for replica in self.document["replicas"]:
            self.wait_caught_up(replica)
            assert self.difference(replica) == {}

    def wait_equal(self, replica: str, seconds: float = 90.0) -> None:
        """Until the replica holds what the SOT does."""
        last: dict[str, Any] = {}

        def equal() -> bool:
            last.clear()
            last.update(self.difference(replica))
            return not last

        try:
            wait_until(equal, f"{replica} to equal the SOT", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; differing: {last}\n{self._last_said()}") from None

    def validate(self, *words: str) -> list[dict[str, Any]]:
        """Results of `holdtrue validate`."""
        ran = self.run("--format", "json", "validate", *words)
        assert ran.returncode in (0, 3), ran.stderr
        results: list[dict[str, Any]] = json.loads(ran.stdout)["results"]
        assert ran.returncode == (0 if all(each["outcome"] == "correct" for each in results) else 3)
        return results

    def change(self, *statements: str) -> None:
        """Change the SOT, each statement in a transaction of its own unless one is open."""
        for statement in statements:
            self.sot.execute(statement.encode())

    def signal_snapshot(self, *tables: str) -> None:
        """Ask Debezium for an incremental snapshot."""
        data = json.dumps({"type": "incremental", "data-collections": tables})
        self.sot.execute("INSERT INTO holdtrue.signal VALUES (%s, 'execute-snapshot', %s)", (uuid.uuid4().hex, data))

    def signal_rows(self, table: str, condition: str) -> None:
        """Ask Debezium for an incremental snapshot of the rows for which the condition holds."""
        conditions = [{"data-collection": table, "filter": condition}]
        data = json.dumps({"type": "incremental", "data-collections": [table], "additional-conditions": conditions})
        self.sot.execute("INSERT INTO holdtrue.signal VALUES (%s, 'execute-snapshot', %s)", (uuid.uuid4().hex, data))

    def close(self) -> None:
        """Kill workers, remove connector, slot and databases; topics stay, under names of their own."""
        for worker in self.workers:
            worker.stop(signal.SIGKILL)
        for consumer in self._consumers.values():
            consumer.close()
        self.sot.close()
        self._remove_connector()
        drop(self.env)

    def _remove_connector(self) -> None:
        base = f"{self.env['HOLDTRUE_CONNECT']}/connectors"
        names = [name for name in requests.get(base, timeout=20).json() if self.name in name]
        for name in names:
            requests.delete(f"{base}/{name}", timeout=20)
        with psycopg.connect(self.env["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
            query = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
            wait_until(
                lambda: sot.execute(query, [self.slot]).fetchone() != (True,), f"the slot {self.slot} to be left"
            )
            left = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
            sot.execute(left, [self.slot])

    def _partitions(self, table: str) -> int:
        return int(self.document["tables"][table].get("partitions", self.document["kafka"]["partitions"]))

    def _last_said(self) -> str:
        return "\n".join(f"--- {w.log.name} ({w.process.poll()})\n{w.said[-1500:]}" for w in self.workers[-3:])
