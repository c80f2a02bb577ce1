"""What the plan file may leave out because it follows from something else in it. Decisions are never filled in here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PARTITIONS: Final = 4
# What follows from the plan's name.
FROM_NAME: Final = (("source", "slot"), ("source", "publication"), ("kafka", "prefix"))

# What may stand in the file without a value: as if it were not there.
FILLABLE: Final = ("validation", "drift")


def resolved(data: Any) -> Any:
    """A copy of the plan's raw data with derived values put in. What has a wrong shape is left for the model."""
    if not isinstance(data, Mapping):
        return data
    plan = dict(data)
    name = plan.get("name")
    if isinstance(name, str):
        own = f"holdtrue_{name}".replace("-", "_")
        _fill(plan, "source", {"slot": own, "publication": own})
        _fill(plan, "kafka", {"prefix": name})
    _fill(plan, "kafka", {"partitions": PARTITIONS})
    _partitions(plan)
    _replicas(plan)
    return plan


def _fill(plan: dict[str, Any], part: str, values: Mapping[str, Any]) -> None:
    if isinstance(plan.get(part), Mapping):
        plan[part] = {**values, **plan[part]}


def _partitions(plan: dict[str, Any]) -> None:
    tables, kafka = plan.get("tables"), plan.get("kafka")
    if isinstance(tables, Mapping):
        common = kafka.get("partitions", PARTITIONS) if isinstance(kafka, Mapping) else PARTITIONS
        plan["tables"] = {
            table: {"partitions": common, **entry} if isinstance(entry, Mapping) else entry
            for table, entry in tables.items()
        }


def _replicas(plan: dict[str, Any]) -> None:
    replicas = plan.get("replicas")
    if isinstance(replicas, Mapping):
        plan["replicas"] = {name: _merged(replica) for name, replica in replicas.items()}


def _merged(replica: Any) -> Any:
    """The replica with its `defaults` under every table's own fields (a table overrides field by field)."""
    if not isinstance(replica, Mapping) or not isinstance(replica.get("tables"), Mapping):
        return replica
    defaults = replica.get("defaults")
    common = defaults if isinstance(defaults, Mapping) else {}
    return {**replica, "tables": {table: _table(common, entry) for table, entry in replica["tables"].items()}}


def _table(common: Mapping[str, Any], entry: Any) -> Any:
    if isinstance(entry, list) and len(entry) == 1 and not isinstance(entry[0], list):
        return _table(common, entry[0])
    if not isinstance(entry, Mapping | None):
        return entry
    table = {**common, **(entry or {})}
    for field in FILLABLE:
        if table.get(field, table) is None:
            del table[field]
    return table
