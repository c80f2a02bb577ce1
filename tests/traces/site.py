"""A connector of its own to trace: tables, no workers; it can be killed, restarted and begun anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import requests
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams.local.stack import Stack
from tests.support.bank import Bank
from tests.support.topic import Decoder, raw
from tests.support.wait import wait_until
from tests.traces.seen import Seen, seen

DDL = """
CREATE TABLE line (id int PRIMARY KEY, n int, filler text);  -- that does not compress
INSERT INTO line SELECT n, 0, (SELECT string_agg(md5(n || '/' || m), '') FROM generate_series(1, 48) m)
  FROM generate_series(1, 300) n;
CREATE TABLE shelf (id int PRIMARY KEY, note text);
INSERT INTO shelf SELECT n, 'old' FROM generate_series(1, 30) n;
CREATE FUNCTION let_go() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM holdtrue.signal WHERE type = 'snapshot-window-open') THEN
    PERFORM pg_advisory_xact_lock_shared(7);
  END IF;
  RETURN true;
END $$;
CREATE TABLE late (id int NOT NULL, tag text UNIQUE);
ALTER TABLE late ADD PRIMARY KEY (id);  -- so that its index is looked at after the other one
INSERT INTO late VALUES (1, 'first');
CREATE TABLE chain (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, note text);
ALTER TABLE chain REPLICA IDENTITY FULL;
INSERT INTO chain SELECT n, 'was ' || n FROM generate_series(1, 20) n;
CREATE TABLE gone (id int PRIMARY KEY, note text);
INSERT INTO gone SELECT n, 'old' FROM generate_series(1, 5) n;
"""
TABLES = {f"public.{table}": ["id"] for table in ("line", "shelf", "late", "chain", "gone")}
PARTITIONS = 3
RUNNING_SECONDS = 120


class Site:
    """The bank, and what has arrived in its topics since they were last looked at."""

    first: Seen  # change after the first snapshot

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        replica: dict[str, dict[str, object]] = {table: {} for table in TABLES}
        self.bank = Bank(stack, folder, DDL, TABLES, {"reports": replica}, partitions=PARTITIONS)
        self._decoder = Decoder(self.bank.env["HOLDTRUE_REGISTRY"])
        self._known: dict[tuple[str, int], int] = {}
        self._url = f"{self.bank.env['HOLDTRUE_CONNECT']}/connectors/holdtrue-{self.bank.name}"

    def start(self) -> None:
        """The connector runs, and its first snapshot is in Kafka."""
        self.bank.apply()
        self.wait_streaming()
        self.bank.sot.execute("UPDATE gone SET note = 'first' WHERE id = 1")
        self.first = next(each for each in self.arrived("gone") if each.op == "u")
        self.look_away()

    def look_away(self) -> None:
        """What is in the topics now is of before."""
        self._known = self.bank.ends(*TABLES)

    def arrived(self, table: str, *, all_of_it: bool = True) -> list[Seen]:
        """Records since, by partition. all_of_it: when everything that is committed now has come."""
        if all_of_it:
            self.bank.wait_published()
        return [self._seen(message) for message in self._messages(table, self._known)]

    def everything(self, table: str) -> list[Seen]:
        """All records that are there now, by partition."""
        return [self._seen(message) for message in self._messages(table)]

    def _messages(self, table: str, since: Mapping[tuple[str, int], int] | None = None) -> list[Any]:
        return raw(self.bank.consumer(), self.bank.topic(f"public.{table}"), since)

    def _seen(self, message: Any) -> Seen:
        return seen(message, self._decoder.decoded(message.key()), self._decoder.decoded(message.value()))

    def count(self, table: str) -> int:
        """How many records have come since."""
        ends = self.bank.ends(f"public.{table}")
        return sum(end - self._known.get(place, 0) for place, end in ends.items())

    def session(self) -> psycopg.Connection[tuple[Any, ...]]:
        """One more session, in which a transaction can stay open."""
        return psycopg.connect(self.bank.env["HOLDTRUE_SOT_DSN"])

    def stored_offset(self) -> Mapping[str, Any]:
        """Where Connect would begin: the last position of this connector in its topic of offsets."""
        found: Mapping[str, Any] = {}
        latest = -1
        for message in raw(self.bank.consumer(), "holdtrue.connect.offset"):
            ours = self.bank.name in (message.key() or b"").decode()
            if ours and message.value() is not None and message.timestamp()[1] >= latest:
                found, latest = json.loads(message.value()), message.timestamp()[1]
        return found

    def slot_position(self) -> int:
        """The slot's `confirmed_flush_lsn`."""
        query = "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = %s"
        row = self.bank.sot.execute(query, [self.bank.slot]).fetchone()
        assert row is not None
        return int(row[0])

    def note_when_appended(self, *topics: str) -> None:
        """From now on Kafka says of each record of these topics when it has appended it."""
        admin = AdminClient({"bootstrap.servers": self.bank.env["HOLDTRUE_KAFKA"], "log_level": 0})
        setting = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
        names = [self.bank.topic(each) for each in topics]
        wanted = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[setting]) for name in names]
        for future in admin.incremental_alter_configs(wanted).values():
            future.result(20)

    def appended(self, table: str) -> list[int]:
        """When the records since were appended, in ms."""
        return [each.timestamp()[1] for each in self._messages(table, self._known)]

    def messages(self) -> list[int]:
        """When the messages were appended, in ms."""
        return [each.timestamp()[1] for each in raw(self.bank.consumer(), f"{self.bank.name}.message")]

    def kill(self) -> None:
        """Kafka Connect is no more (SIGKILL)."""
        self.stack.kill("connect")

    def revive(self) -> None:
        """Kafka Connect is there again, and the connector runs."""
        self.stack.start_service("connect")
        self._wait_running()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Connector and task are ended well, and started afterwards."""
        assert requests.put(f"{self._url}/stop", timeout=20).ok
        wait_until(lambda: not self._slot_active(), "the slot to be left")
        yield
        assert requests.put(f"{self._url}/resume", timeout=20).ok
        self._wait_running()

    def wait_streaming(self) -> None:
        """Until the connector reads the log: its snapshot is over."""
        wait_until(self._slot_active, "the slot to be read", RUNNING_SECONDS)

    def _slot_active(self) -> bool:
        query = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
        return self.bank.sot.execute(query, [self.bank.slot]).fetchone() == (True,)

    def forget(self) -> None:
        """Connector and offsets are deleted; the slot is not."""
        self.bank.done("connectors", "delete", "--forget", "--yes")

    def begin_anew(self) -> None:
        """A new snapshot, by a connector without offsets."""
        self.bank.done("connectors", "apply")

    def _wait_running(self) -> None:
        def running() -> bool:
            answer = requests.get(f"{self._url}/status", timeout=20)
            return answer.ok and [task["state"] for task in answer.json()["tasks"]] == ["RUNNING"]

        wait_until(running, "the connector to run", RUNNING_SECONDS)

    def close(self) -> None:
        """Everything of it is removed."""
        self.bank.close()
