"""The Debezium connector of a plan, as the mapping Kafka Connect takes. Pure: nothing is resolved or reached here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from streams.plan.model import Plan, SecretRef
from streams.rows.canonical import PRINTED

# The prefix of the logical messages that fences put into the log; the connector passes on no other.
FENCE_PREFIX: Final = "holdtrue"
# Heartbeats carry another prefix, so that they move the slot but never reach the message topic.
HEARTBEAT_PREFIX: Final = "holdtrue-heartbeat"
# One record may be this large: a row of 8 MB under REPLICA IDENTITY FULL travels twice. The producer's default of 1 MB
# would fail the Connect task at the first larger row, and with it every table.
RECORD_BYTES_MAX: Final = 16 * 1024 * 1024
QUEUE_BYTES_MAX: Final = 128 * 1024 * 1024
# What the connector reads is handed over when this share of the tightest lag bound has passed, or a batch is full: each
# handing over costs Connect, Kafka and every worker the same, however few the changes in it (docs/topics.md).
POLL_SHARE: Final = 10
POLL_MS_MIN: Final = 20
POLL_MS_MAX: Final = 500
PASSWORD: Final = "database.password"  # noqa: S105 - the name of a setting


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the connector finds the SOT and the registry: resolved for `apply`, references for `render`."""

    host: str
    port: str
    user: str
    password: str
    database: str
    converter_url: str
    sslmode: str = ""

    @classmethod
    def references(cls, plan: Plan) -> Endpoints:
        """The form that is shown and committed: it says where each value comes from and holds none of them."""
        source = _reference(plan.source.dsn)
        url = plan.converter_url
        return cls(
            host=f"${{{source}#host}}",
            port=f"${{{source}#port}}",
            user=f"${{{source}#user}}",
            password=f"${{{source}#password}}",
            database=f"${{{source}#dbname}}",
            converter_url=f"${{{_reference(url.ref)}}}" if url.ref else str(url),
        )


def _reference(ref: SecretRef) -> str:
    return f"env:{ref.env}" if ref.env else f"file:{ref.file}"


def connector_name(plan: Plan) -> str:
    """The name of the plan's connector in Kafka Connect."""
    return f"holdtrue-{plan.name}"


def render(plan: Plan, endpoints: Endpoints) -> dict[str, str]:
    """The whole configuration of the plan's Debezium connector. It holds `endpoints.password` as it was given."""
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        **_database(endpoints),
        **_log(plan),
        **_capture(plan),
        **_events(),
        **_flow(plan),
        **_topics(plan),
        **_converters(plan, endpoints.converter_url),
    }


def _database(endpoints: Endpoints) -> dict[str, str]:
    config = {
        "database.hostname": endpoints.host,
        "database.port": endpoints.port,
        "database.user": endpoints.user,
        PASSWORD: endpoints.password,
        "database.dbname": endpoints.database,
    }
    # A database's or a role's own settings would have floats rounded, and bytea in a form that the connector misreads.
    config["driver.options"] = " ".join(f"-c {name}={value}" for name, value in PRINTED.items())
    return config | ({"database.sslmode": endpoints.sslmode} if endpoints.sslmode else {})


def _log(plan: Plan) -> dict[str, str]:
    return {
        "plugin.name": "pgoutput",
        "slot.name": plan.source.slot,
        # Survives a failover to a standby where the server can (Postgres 17 and newer); ignored elsewhere.
        "slot.failover": "true",
        # A slot that is ahead of the stored offset was made anew and has lost changes: fail instead of going on.
        "offset.mismatch.strategy": "trust_offset",
        # Fences rest on it: the slot's confirmed position moves only over what Kafka has acknowledged. With
        # `connector_and_driver` the driver would confirm positions on its own.
        "lsn.flush.mode": "connector",
        "publication.name": plan.source.publication,
        # `connectors apply` makes the publication in SQL: Debezium would need to own every table to do it, and would
        # alter it by itself at each start.
        "publication.autocreate.mode": "disabled",
        # Idle tables must not hold the log back: the query writes a small message that moves the slot along.
        "heartbeat.interval.ms": "1000",
        "heartbeat.action.query": f"SELECT pg_logical_emit_message(false, '{HEARTBEAT_PREFIX}', '')",
        "message.prefix.include.list": FENCE_PREFIX,
    }


def _capture(plan: Plan) -> dict[str, str]:
    # The signal table is captured because it is named below; listing it says so to whoever reads the config.
    tables = [*plan.tables, plan.source.signal_table]
    return {
        "topic.prefix": plan.kafka.prefix,
        "table.include.list": ",".join(as_regex(table) for table in tables),
        "snapshot.mode": "initial",
        "signal.data.collection": plan.source.signal_table,
        "signal.enabled.channels": "source",
        # Opens and closes each window with one row that is deleted again, so that the signal table stays small.
        "incremental.snapshot.watermarking.strategy": "insert_delete",
        "incremental.snapshot.chunk.size": "4096",
    }


def as_regex(table: str) -> str:
    """A table as Debezium takes it where it takes patterns."""
    return table.replace(".", r"\.")


def _events() -> dict[str, str]:
    return {
        "tombstones.on.delete": "true",
        # TRUNCATE must arrive; Debezium leaves it out unless nothing is skipped.
        "skipped.operations": "none",
        "provide.transaction.metadata": "false",
        "schema.name.adjustment.mode": "avro",
        # Precise decimals lose NaN, infinity and what TOAST leaves out: NULL, or a failed task in a NOT NULL column.
        "decimal.handling.mode": "string",
        "time.precision.mode": "adaptive",
        "binary.handling.mode": "bytes",
        # Exact: as a number an interval's months become average days.
        "interval.handling.mode": "string",
    }


def _flow(plan: Plan) -> dict[str, str]:
    """Batches large enough for a snapshot, and at a trickle as few as the plan's lag bounds allow."""
    return {
        "max.batch.size": "4096",
        "max.queue.size": "16384",
        "max.queue.size.in.bytes": str(QUEUE_BYTES_MAX),
        "poll.interval.ms": str(poll_ms(plan)),
        "producer.override.linger.ms": "10",
        "producer.override.batch.size": str(256 * 1024),
        "producer.override.buffer.memory": str(4 * RECORD_BYTES_MAX),
        "producer.override.max.request.size": str(RECORD_BYTES_MAX),
        "producer.override.compression.type": "lz4",
        "producer.override.acks": "all",
        "producer.override.enable.idempotence": "true",
    }


def poll_ms(plan: Plan) -> int:
    """For how many ms the connector gathers changes before it hands them over."""
    mappings = (mapping for replica in plan.replicas.values() for mapping in replica.tables.values())
    bounds = [mapping.lag_max / timedelta(milliseconds=1) for mapping in mappings if mapping.lag_max is not None]
    share = min(bounds, default=POLL_MS_MAX * POLL_SHARE) / POLL_SHARE
    return round(min(max(share, POLL_MS_MIN), POLL_MS_MAX))


def _topics(plan: Plan) -> dict[str, str]:
    """For topics that `topics apply` did not make, so that the broker's defaults never decide."""
    default = "topic.creation.default"
    return {
        f"{default}.partitions": str(plan.kafka.partitions),
        f"{default}.replication.factor": str(plan.kafka.replication),
        f"{default}.cleanup.policy": "delete",
        f"{default}.retention.ms": str(milliseconds(plan.kafka.retention)),
        f"{default}.max.message.bytes": str(RECORD_BYTES_MAX),
    }


def milliseconds(duration: timedelta) -> int:
    """Whole milliseconds, as Kafka settings want them."""
    return duration // timedelta(milliseconds=1)


def _converters(plan: Plan, url: str) -> dict[str, str]:
    settings = _apicurio(url) if plan.kafka.converter.kind == "apicurio" else _confluent(url)
    return {f"{side}.converter{name}": value for side in ("key", "value") for name, value in settings.items()}


def _apicurio(url: str) -> dict[str, str]:
    return {
        "": "io.apicurio.registry.utils.converter.AvroConverter",
        ".apicurio.registry.url": url,
        # Together these give byte 0 + 4 bytes of schema id, and subjects named after their topic.
        ".apicurio.registry.as-confluent": "true",
        ".apicurio.registry.headers.enabled": "false",
        ".apicurio.registry.use-id": "contentId",
        ".apicurio.registry.auto-register": "true",
        ".apicurio.registry.find-latest": "true",
        # Schemas are looked up again every 30 s: while the registry is away, what is known goes on being used.
        ".apicurio.registry.fault-tolerant-refresh": "true",
    }


def _confluent(url: str) -> dict[str, str]:
    return {
        "": "io.confluent.connect.avro.AvroConverter",
        ".schema.registry.url": url,
        ".auto.register.schemas": "true",
    }
