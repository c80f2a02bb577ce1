"""The two that are measured: a holdtrue worker, and the Debezium JDBC sink in a Kafka Connect of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from streams.bench import subject
from streams.bench.plan import schema
from streams.bench.site import Place
from streams.local.artifacts import load_lock
from streams.local.connect import EXTRA_PLUGINS
from streams.local.fetch import Cache
from streams.local.jvm import class_path, java, logging_options, write_properties
from streams.local.site import Site
from streams.settings import settings

PEER = "Debezium JDBC sink 3.3.1"
_HEAP_MB = 1024
_FETCH_BYTES = 8 << 20
_POLL_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class Launch:
    """How a contender is started for one run. `group` is its consumer group, `target` the table it writes."""

    words: tuple[str, ...]
    group: str
    target: str
    commits: bool
    environment: Mapping[str, str] = field(default_factory=dict)


class Contender(Protocol):
    """One of the two."""

    name: str

    def launch(self, place: Place, run: int) -> Launch:
        """Everything for run number `run`, with fresh state and a fresh group."""


class Holdtrue:
    """One worker process with guard, version table and digests, as it always runs."""

    name = "holdtrue"

    def launch(self, place: Place, run: int) -> Launch:
        """The worker of this run's replica."""
        program = (sys.executable, "-c", "from streams.cli.main import run; run()")
        words = (*program, "--plan", str(place.plan_file), "worker", "--replica", replica(run))
        environment = {**place.endpoints.environment(), "HOLDTRUE_WORKER_DIR": str(place.folder / "workers")}
        return Launch(
            words, place.plan.group(replica(run)), f"{schema(replica(run))}.{subject.NAME}", True, environment
        )


def replica(run: int) -> str:
    """The name of run number `run`'s replica."""
    return f"run{run}"


class JdbcSink:
    """The peer, upserting with its reduction buffer on, as its documentation advises for throughput."""

    name = PEER
    target = "bench_jdbc.orders"

    def __init__(self, tasks: int, driver: str = "") -> None:
        self._tasks = tasks
        self._driver = driver  # options of the JDBC driver, such as reWriteBatchedInserts=true

    def launch(self, place: Place, run: int) -> Launch:
        """A standalone Connect worker with this one connector."""
        folder = place.folder / f"jdbc-{run}"
        plugins = folder / "plugins"
        plugins.mkdir(parents=True)
        site = Site(place.folder, {}, "", Cache(settings().cache_dir), load_lock())
        _link_plugins(plugins, site, place)
        worker, connector = folder / "worker.properties", folder / "sink.properties"
        name = f"{place.plan.name}-jdbc-{run}"
        write_properties(worker, _worker(place, folder, plugins))
        connector.touch(mode=0o600)  # it holds the replica's password
        write_properties(connector, _sink(place, name, self.target, self._tasks, self._driver))
        options = (*class_path(site.jars("kafka")), *logging_options())
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        return Launch(
            java(_HEAP_MB, main, str(worker), str(connector), options=options), f"connect-{name}", self.target, False
        )


def _link_plugins(plugins: Path, site: Site, place: Place) -> None:
    archive = site.archive("bench", leave_out=EXTRA_PLUGINS["bench"])
    (plugins / "jdbc").symlink_to(next(path for path in sorted(archive.iterdir()) if path.is_dir()))
    running = Path(os.path.realpath(place.converter_plugin))
    (plugins / "converter").symlink_to(running)


def _worker(place: Place, folder: Path, plugins: Path) -> dict[str, object]:
    json = "org.apache.kafka.connect.json.JsonConverter"
    return {
        "bootstrap.servers": place.endpoints.kafka,
        "listeners": "http://127.0.0.1:0",
        "plugin.path": plugins,
        "plugin.discovery": "service_load",
        "key.converter": json,
        "value.converter": json,
        "offset.storage.file.filename": folder / "offsets",
        "offset.flush.interval.ms": 5_000,
        "connector.client.config.override.policy": "All",
    }


def _sink(place: Place, name: str, target: str, tasks: int, driver: str) -> dict[str, object]:
    url = urlsplit(place.endpoints.replica_dsn)
    converter = {
        "": "io.apicurio.registry.utils.converter.AvroConverter",
        ".apicurio.registry.url": place.endpoints.apicurio_url,
        ".apicurio.registry.as-confluent": "true",
        ".apicurio.registry.use-id": "contentId",
        ".apicurio.registry.headers.enabled": "false",
    }
    return {
        "name": name,
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": tasks,
        "topics": place.plan.change_topic(subject.TABLE),
        "connection.url": f"jdbc:postgresql://{url.hostname}:{url.port}{url.path}?{driver}",
        "connection.username": url.username,
        "connection.password": url.password,
        "insert.mode": "upsert",
        "delete.enabled": "true",
        "primary.key.mode": "record_key",
        "primary.key.fields": subject.KEY,
        "collection.name.format": target,
        "schema.evolution": "none",
        "batch.size": 2_000,
        "use.reduction.buffer": "true",
        "use.time.zone": "UTC",
        "consumer.override.max.poll.records": _POLL_RECORDS,
        "consumer.override.fetch.max.bytes": 4 * _FETCH_BYTES,
        "consumer.override.max.partition.fetch.bytes": _FETCH_BYTES,
        "consumer.override.auto.offset.reset": "earliest",
        **{f"{side}.converter{key}": value for side in ("key", "value") for key, value in converter.items()},
    }
