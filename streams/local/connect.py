"""Kafka Connect, with Debezium for Postgres and the Avro converter."""

from __future__ import annotations

import shutil
from pathlib import Path

from streams.local.http import expect_ok
from streams.local.jvm import SERIAL_GC, class_path, java, logging_options, write_properties
from streams.local.process import Command
from streams.local.service import Service

_HEAP_MB = 1024
# Plugins beyond those every stack has: artifact group, and what to leave out of its archive because it would stand
# against Connect's own classes.
EXTRA_PLUGINS = {"bench": ("jackson-",)}


# The converter's jars do not say what they provide; with that said, Connect need not search every class of every jar,
# which takes it 7 to 8 of its 17 seconds.
_SERVICES = {"org.apache.kafka.connect.storage.Converter": ("io.apicurio.registry.utils.converter.AvroConverter",)}


class Connect(Service):
    """A Kafka Connect worker in distributed mode: connectors and offsets live in Kafka and survive it."""

    name = "connect"
    needs = ("kafka",)
    ports = ("connect",)
    groups = ("kafka", "debezium", "converter")
    ready_seconds = 120.0

    def endpoint(self) -> str:
        """The URL of its REST interface."""
        return f"http://{self.site.address(self.name)}"

    @property
    def _config(self) -> Path:
        return self.site.home(self.name) / "worker.properties"

    @property
    def plugins(self) -> Path:
        """The plugin path: one folder (a link) per plugin."""
        return self.site.home(self.name) / "plugins"

    def prepare(self) -> None:
        """Write the configuration and link the plugins."""
        extra = [group for group in EXTRA_PLUGINS if (self.plugins / group).is_symlink()]
        shutil.rmtree(self.plugins, ignore_errors=True)
        self.plugins.mkdir()
        (self.plugins / "debezium").symlink_to(self.site.archive("debezium") / "debezium-connector-postgres")
        (self.plugins / "converter").symlink_to(self.site.jars("converter", _SERVICES))
        for group in extra:
            self.add_plugin(group)
        write_properties(self._config, self._properties())

    def add_plugin(self, group: str) -> None:
        """Link an extra plugin, whose artifacts are in the cache; Connect sees it at its next start."""
        folder = self.site.archive(group, leave_out=EXTRA_PLUGINS[group])
        self.plugins.mkdir(exist_ok=True)
        link = self.plugins / group
        link.unlink(missing_ok=True)
        link.symlink_to(next(path for path in sorted(folder.iterdir()) if path.is_dir()))

    def has_plugin(self, group: str) -> bool:
        """Whether an extra plugin is linked."""
        return (self.plugins / group).is_symlink()

    def _properties(self) -> dict[str, object]:
        json = "org.apache.kafka.connect.json.JsonConverter"
        storage = {
            f"{kind}.storage.{key}": value
            for kind in ("config", "offset", "status")
            for key, value in (("topic", f"holdtrue.connect.{kind}"), ("replication.factor", 1))
        }
        return {
            "bootstrap.servers": self.site.address("kafka"),
            "group.id": "holdtrue-connect",
            "listeners": self.endpoint(),
            "rest.advertised.host.name": "127.0.0.1",
            "rest.advertised.port": self.site.ports[self.name],
            "plugin.path": self.plugins,
            "plugin.discovery": "service_load",
            "key.converter": json,
            "value.converter": json,
            **storage,
            "offset.storage.partitions": 5,
            # A fence waits until the slot has been confirmed, which happens at an offset flush.
            "offset.flush.interval.ms": 200,
            # There is one worker, so that nobody comes back to be waited for; by default that would be five minutes
            # without a connector after each failure of Kafka.
            "scheduled.rebalance.max.delay.ms": 0,
            "connector.client.config.override.policy": "All",
        }

    def command(self) -> Command:
        """The worker."""
        options = (*class_path(self.site.jars("kafka")), *logging_options(), SERIAL_GC)
        return Command(
            java(_HEAP_MB, "org.apache.kafka.connect.cli.ConnectDistributed", str(self._config), options=options)
        )

    def check(self) -> None:
        """Ask for its health: good once it has joined its group and read its configuration."""
        expect_ok(f"{self.endpoint()}/health")
