"""The example consumer of the drift topic as a process of its own, beside real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.drift.names import Names
from streams.drift.record import key_record
from streams.kafka.events import EventWriter
from streams.kafka.registry import Registry
from streams.kafka.schemas import schema, value_subject
from streams.local.stack import Stack
from tests.support.wait import wait_until
from tests.unit.ops.test_drift_pager import PAGER

pytestmark = [pytest.mark.stack, pytest.mark.long]
NAMES = Names("cache", "public.t", ["id"])


class Site:
    """A drift topic of its own, and the pager beside it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.env = {**os.environ, **stack.endpoints().environment()}
        self.topic = f"pager{uuid.uuid4().hex[:8]}.drift"
        admin = AdminClient({"bootstrap.servers": self.env["HOLDTRUE_KAFKA"], "log_level": 0})
        for future in admin.create_topics([NewTopic(self.topic, 2, 1)]).values():
            future.result(20)
        registry = Registry(self.env["HOLDTRUE_REGISTRY"])
        registry.register(value_subject(self.topic), schema("drift"))
        self.writer = EventWriter(self.env["HOLDTRUE_KAFKA"], registry, client_id="tests")
        self.said = folder / "pages"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the pager."""
        words = [sys.executable, str(PAGER), "--topic", self.topic, "--group", self.topic]
        with self.said.open("ab") as output:
            self.process = subprocess.Popen(words, env=self.env, stdout=output)

    def end(self, by: signal.Signals) -> int:
        """End it; its exit code."""
        assert self.process is not None
        self.process.send_signal(by)
        return self.process.wait(30)

    def tell(self, state: str, *keys: int) -> None:
        """Drift of these keys; in Kafka when this returns."""
        for key in keys:
            said: dict[str, Any] = {"kind": "missing", "cause": "unknown", "state": state, "at": datetime.now(UTC)}
            event = key_record(NAMES, str(key).encode(), **said)
            self.writer.send(self.topic, event["id"], "drift", event)
        self.writer.flush()

    def pages(self) -> list[str]:
        """What people were told so far."""
        return [json.loads(line)["action"] for line in self.said.read_text().splitlines()] if self.said.exists() else []

    def wait(self, *pages: str) -> None:
        """Until they were told this."""
        wait_until(lambda: self.pages() == [*pages], lambda: f"{pages}, not {self.pages()}", 60)

    def wait_committed(self, records: int) -> None:
        """Until the pager has committed that so many were acted on; killed before, it would page once more."""
        settings = {"bootstrap.servers": self.env["HOLDTRUE_KAFKA"], "group.id": self.topic, "log_level": 0}
        consumer = Consumer(settings)
        places = [TopicPartition(self.topic, number) for number in range(2)]
        try:
            wait_until(
                lambda: sum(max(0, tp.offset) for tp in consumer.committed(places, 10)) == records,
                f"{records} records to be acted on",
            )
        finally:
            consumer.close()


@pytest.fixture
def site(shared_stack: Stack, tmp_path: Path) -> Iterator[Site]:
    """The pager is not started yet."""
    site = Site(shared_stack, tmp_path)
    yield site
    if site.process is not None:
        site.process.kill()
        site.process.wait()


def test_people_are_paged_once_across_restarts(site: Site) -> None:
    """What was over before it began is nobody's page; killed, it goes on where it was and knows what is open."""
    site.tell("open", 1, 2)
    site.tell("superseded", 1)
    site.tell("open", 30471)
    site.start()
    site.wait("trigger")
    first = json.loads(site.said.read_text())
    assert (first["kinds"], first["replica"]) == ({"missing": 2}, "cache")
    assert "30471" not in site.said.read_text()
    site.wait_committed(4)
    site.tell("open", 3)
    assert site.end(signal.SIGTERM) == 0
    site.start()
    site.tell("superseded", 2, 3)
    site.tell("resolved", 30471)
    site.wait("trigger", "resolve")
    site.wait_committed(8)
    assert site.end(signal.SIGKILL) != 0
    site.tell("open", 4)
    site.start()
    site.wait("trigger", "resolve", "trigger")
