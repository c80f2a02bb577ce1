"""A plan that may be incomplete: whatever of it can be understood, so that all contradictions are found at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from streams.plan.defaults import resolved
from streams.plan.duration import parse_duration
from streams.plan.finding import Finding, Severity
from streams.plan.load import Document, Path_
from streams.plan.tables import Layout
from streams.plan.text import dotted
from streams.plan.who import supplier


@dataclass(frozen=True, slots=True)
class Placed:
    """One table of one replica, as far as it can be understood. `raw` has the replica's defaults merged in."""

    path: Path_
    replica: Mapping[str, Any]
    kind: str
    table: str
    raw: Mapping[str, Any] | list[Any]
    layout: Layout

    @property
    def target(self) -> str:
        """What this table writes to in its store."""
        return self.layout.target(self.table, self.kind)

    @property
    def store(self) -> str:
        """A text that is equal for two replicas when the plan shows that they are the same store."""
        return store_name(self.kind, self.replica)


def store_name(kind: str, address: Mapping[str, Any]) -> str:
    """A text that is equal for two addresses when the plan shows that they are the same store."""
    return f"{kind} {[address.get(field) for field in ('dsn', 'url', 'endpoint', 'region')]}"


class Draft:
    """The resolved data of a plan file with tolerant access."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.data: Any = resolved(document.data)
        self.placed = tuple(self._placed())

    def value(self, *path: str | int) -> Any:
        """What is at `path` after defaults were merged; None where there is nothing."""
        return value_at(self.data, path)

    def duration(self, *path: str) -> timedelta | None:
        """The duration at `path`; None when it is missing or no duration."""
        try:
            return parse_duration(self.value(*path))
        except ValueError:
            return None

    def key(self, table: str) -> tuple[str, ...] | None:
        """The key columns the plan gives for `table`; None when it gives none that can be used."""
        key = self.value("tables", table, "key")
        usable = isinstance(key, list) and bool(key) and all(isinstance(column, str) for column in key)
        return tuple(key) if usable else None

    def in_file(self, path: Path_) -> Path_:
        """Where a value of the resolved plan is written: in its place, or in the `defaults` of its replica."""
        if len(path) < 5 or path[0] != "replicas" or path[2] != "tables":
            return path
        common = (*path[:2], "defaults", *path[4:])
        own = (*path[:4], 0, *path[4:]) if isinstance(value_at(self._document.data, path[:4]), list) else path
        in_defaults = not self._is_written(own[: len(own) - len(path) + 5]) and self._is_written(common[:4])
        return common if in_defaults else own

    def is_derived(self, path: Path_) -> bool:
        """Whether the value at `path` is not in the file but follows from another value there."""
        return not self._is_written(self.in_file(path))

    def _is_written(self, path: Path_) -> bool:
        return value_at(self._document.data, path, default=_ABSENT) is not _ABSENT

    def finding(self, severity: Severity, path: Path_, message: str) -> Finding:
        """A finding about `path` of the resolved plan, placed where the file has it."""
        place = self.in_file(path)
        return Finding(self._document.line(place), dotted(place), severity, message, supplier(path))

    def _placed(self) -> Iterator[Placed]:
        replicas = self.value("replicas")
        for name, replica in replicas.items() if isinstance(replicas, Mapping) else ():
            tables = value_at(replica, ("tables",))
            for table, raw in tables.items() if isinstance(tables, Mapping) else ():
                if isinstance(raw, Mapping | list):
                    path = ("replicas", name, "tables", table)
                    yield Placed(path, replica, str(replica.get("kind")), table, raw, _layout(raw))


_ABSENT = object()


def value_at(data: Any, path: Path_, default: Any = None) -> Any:
    """What is at `path` in plain data, or `default`."""
    for part in path:
        if not _holds(data, part):
            return default
        data = data[part]
    return data


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, Mapping) and part in data


def _layout(raw: Mapping[str, Any] | list[Any]) -> Layout:
    """The layout from those of its fields that are valid; the others are reported by the model."""
    entry = raw if isinstance(raw, Mapping) else {}
    usable = {field: entry[field] for field in Layout.model_fields if field in entry and _is_valid(field, entry[field])}
    return Layout.model_validate(usable)


def _is_valid(field: str, value: Any) -> bool:
    try:
        Layout.model_validate({field: value})
    except ValidationError:
        return False
    return True
