"""The plan that a benchmark runs under: one table, one replica per run so that every run starts with nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from streams.bench.subject import KEY, NAME, SCHEMA, TABLE

PARTITIONS = 4


def document(name: str, replicas: Sequence[str], decisions: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The plan as data. Each replica has its own group, and its own schema for table and version rows.

    decisions: in place of those that a benchmark takes otherwise.
    """
    return {
        "holdtrue": 1, "name": name, "owner": "bench", "approver": "bench",
        "source": {"dsn": {"env": "HOLDTRUE_SOT_DSN"}},
        "kafka": {
            "bootstrap": {"env": "HOLDTRUE_KAFKA"},
            "registry": {"env": "HOLDTRUE_REGISTRY"},
            "connect": {"env": "HOLDTRUE_CONNECT"},
            "converter": {"kind": "apicurio", "url": {"env": "HOLDTRUE_APICURIO"}},
            "topics": f"{name}.own", "partitions": PARTITIONS, "retention": "7d", "longest_pause": "2d",
        },
        "control": {"dsn": {"env": "HOLDTRUE_CONTROL_DSN"}},
        "tombstone_retention": "14d",
        "tables": {TABLE: {"key": [KEY]}},
        "replicas": {replica: _replica(replica, decisions) for replica in replicas},
    }  # fmt: skip


def _replica(name: str, decisions: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": "postgres",
        "dsn": {"env": "HOLDTRUE_REPLICA_DSN"},
        "token_schema": schema(name),
        "defaults": {
            "mode": "replicate", "trigger": "realtime", "consistency": {"kind": "eventual", "lag": "2s"},
            "conflict": "source_wins", "on_failure": "hold", "repair": {"automatic": []},
            "validation": {"depths": ["counts", "checksums"], "every": "1h"},
            **decisions,
        },
        "tables": {TABLE: {"to": f"{schema(name)}.{NAME}"}},
    }  # fmt: skip


def schema(replica: str) -> str:
    """The schema of one replica's target and version table; dropped after its run."""
    return f"{SCHEMA}_{replica}"


def write(path: Path, plan: dict[str, Any]) -> None:
    """The plan as a file."""
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
