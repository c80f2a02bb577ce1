"""The plan of a bank, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Tables = Mapping[str, Sequence[str]]
Replicas = Mapping[str, Mapping[str, Mapping[str, Any]]]
POLICIES: dict[str, Any] = {
    "mode": "replicate",
    "trigger": "realtime",
    "consistency": {"kind": "eventual", "lag": "2s"},
    "conflict": "source_wins",
    "on_failure": "dead-letter",
    "validation": {"depths": ["counts", "checksums"], "every": "1h"},
    "repair": {"automatic": []},
}
STORES: dict[str, dict[str, Any]] = {
    "reports": {"kind": "postgres", "dsn": {"env": "HOLDTRUE_REPLICA_DSN"}},
    "cache": {"kind": "redis", "url": {"env": "HOLDTRUE_REDIS_URL"}},
    "shards": {"kind": "redis", "url": {"env": "HOLDTRUE_SHARDS_URL"}},
    "lookup": {"kind": "dynamodb", "endpoint": {"env": "HOLDTRUE_DYNAMODB"}, "region": "local"},
}


def plan_document(
    name: str, tables: Tables, replicas: Replicas, *, partitions: int, source: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A plan whose addresses come from the environment, and whose targets in shared stores begin with its name."""
    return {
        "holdtrue": 1, "name": name, "owner": "tests", "approver": "tests",
        "source": {"dsn": {"env": "HOLDTRUE_SOT_DSN"}, **(source or {})},
        "kafka": {
            "bootstrap": {"env": "HOLDTRUE_KAFKA"}, "registry": {"env": "HOLDTRUE_REGISTRY"},
            "connect": {"env": "HOLDTRUE_CONNECT"},
            "converter": {"kind": "apicurio", "url": {"env": "HOLDTRUE_APICURIO"}},
            "topics": f"{name}-own", "partitions": partitions, "retention": "7d", "longest_pause": "2d",
        },
        "control": {"dsn": {"env": "HOLDTRUE_CONTROL_DSN"}},
        "tombstone_retention": "14d",
        "tables": {table: {"key": list(key)} for table, key in tables.items()},
        "replicas": {store: _replica(name, store, tables, mappings) for store, mappings in replicas.items()},
    }  # fmt: skip


def _replica(name: str, store: str, tables: Tables, mappings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    placed = {table: _placed(name, store, table, tables[table], mapping) for table, mapping in mappings.items()}
    return {**STORES[store], "defaults": POLICIES, "tables": placed}


def _placed(name: str, store: str, table: str, key: Sequence[str], mapping: Mapping[str, Any]) -> dict[str, Any]:
    short = table.partition(".")[2]
    if STORES[store]["kind"] == "redis":
        return {"key": ":".join((name, short, *(f"{{{column}}}" for column in key))), **mapping}
    if store == "lookup":
        return {"to": f"{name}_{short}", "tombstones": "attribute", **mapping}
    return dict(mapping)
