"""What every part of a benchmark shares: where the servers are, a scratch folder, the change topic's marks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streams.local.endpoints import Endpoints
from streams.plan.model import Plan


@dataclass(frozen=True, slots=True)
class Place:
    """One call of the benchmark: `folder` is scratch space, `plan_file` holds `plan`.

    converter_plugin: the folder from which the stack's Connect loads the Avro converter.
    logs: where the contenders' logs are kept after the call.
    """

    endpoints: Endpoints
    folder: Path
    plan: Plan
    plan_file: Path
    converter_plugin: Path
    logs: Path


@dataclass(frozen=True, slots=True)
class Marks:
    """The filled change topic.

    ends: partition → offset after its last record. snapshot_keys, update_keys: per partition, the key of the last
    snapshot row and of the last update: when those rows are in a target, every record before them is.
    """

    topic: str
    ends: dict[int, int]
    snapshot_keys: list[int]
    update_keys: list[int]
