"""Kafka: one node that is broker and controller (KRaft)."""

from __future__ import annotations

import base64
import logging
import uuid
from pathlib import Path

from streams.local.jvm import SERIAL_GC, class_path, java, logging_options, write_properties
from streams.local.process import Command
from streams.local.service import Service, UnhealthyError

_HEAP_MB = 512
_ANSWER_SECONDS = 2.0


class Kafka(Service):
    """A single Kafka node. Topics are created explicitly, never by the first message."""

    name = "kafka"
    ports = ("kafka", "kafka-controller")
    groups = ("kafka",)

    def endpoint(self) -> str:
        """The bootstrap server."""
        return self.site.address(self.name)

    @property
    def _config(self) -> Path:
        return self.site.home(self.name) / "server.properties"

    @property
    def _logs(self) -> Path:
        return self.site.home(self.name) / "data"

    def prepare(self) -> None:
        """Write the configuration (ports may have changed) and format the storage once."""
        write_properties(self._config, self._properties())
        if not (self._logs / "meta.properties").exists():
            # One word: an identity may begin with a dash, as one in 64 does, and would be read as an option.
            identity = f"--cluster-id={_identity()}"
            tool = ("kafka.tools.StorageTool", "format", identity, "-c", str(self._config), "--ignore-formatted")
            words = java(_HEAP_MB, *tool, options=(*class_path(self.site.jars("kafka")), *logging_options()))
            self.run_tool(words, "formatting the storage")

    def _properties(self) -> dict[str, object]:
        controller = self.site.address("kafka-controller")
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{self.endpoint()},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.endpoint()}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._logs,
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            # One node: every internal topic has one replica.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 10,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # The default of 128 MB is a quarter of the heap; 32 MB compacts over a million keys in one pass.
            "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
        }

    def command(self) -> Command:
        """The broker."""
        options = (*class_path(self.site.jars("kafka")), *logging_options(), SERIAL_GC)
        return Command(java(_HEAP_MB, "kafka.Kafka", str(self._config), options=options))

    def check(self) -> None:
        """Ask for the cluster's brokers."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        quiet = logging.getLogger("holdtrue.stack.kafka")
        quiet.setLevel(logging.CRITICAL)
        client = AdminClient({"bootstrap.servers": self.endpoint(), "log_level": 0}, logger=quiet)
        try:
            brokers = client.list_topics(timeout=_ANSWER_SECONDS).brokers
        except KafkaException as error:
            raise UnhealthyError(str(error)) from error
        if not brokers:
            raise UnhealthyError("no broker is registered yet")


def _identity() -> str:
    """A cluster's identity as Kafka writes one: 16 random bytes in URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
