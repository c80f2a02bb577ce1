"""The Avro schemas of the project's topics, and the registry subjects of a plan."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from streams.errors import UsageError
from streams.kafka.registry import Subject
from streams.kafka.topics import topics_of
from streams.plan.model import Plan

OWN_COMPATIBILITY: Final = "BACKWARD"
# An incompatible change of a table must not fail the Connect task, which would stop every table; the shape gate
# judges it instead (design, Shape gate).
CHANGE_COMPATIBILITY: Final = "NONE"
# `schemas/` of the repository, linked into the package so that it is shipped with it.
_FOLDER: Final = files("streams.kafka") / "avsc"


class OwnSubject(NamedTuple):
    """A subject of ours and the name of the local schema its values have."""

    subject: Subject
    schema: str


@cache
def schema_text(name: str) -> str:
    """The file `schemas/<name>.avsc`. Raises UsageError naming the schemas there are."""
    file = _FOLDER / f"{name}.avsc"
    if not file.is_file():
        raise UsageError(f"There is no schema named {name}.", f"There are: {', '.join(schema_names())}.")
    return file.read_text(encoding="utf-8")


def schema(name: str) -> Any:
    """The Avro schema `name` as parsed JSON, fresh for each caller."""
    return json.loads(schema_text(name))


@cache
def schema_names() -> tuple[str, ...]:
    """Names of all local schemas, sorted."""
    found = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".avsc") for name in found if name.endswith(".avsc")))


def value_subject(topic: str) -> Subject:
    """TopicNameStrategy for values."""
    return Subject(f"{topic}-value")


def key_subject(topic: str) -> Subject:
    """TopicNameStrategy for keys."""
    return Subject(f"{topic}-key")


def own_subjects(plan: Plan) -> list[OwnSubject]:
    """Subjects of the plan's own topics: registered by us, compatibility BACKWARD."""
    return [OwnSubject(value_subject(topic.name), topic.schema) for topic in topics_of(plan) if topic.schema]


def change_subjects(plan: Plan) -> Iterator[Subject]:
    """Subjects of the plan's change topics: registered by the converter, compatibility NONE."""
    for table in plan.tables:
        topic = plan.change_topic(table)
        yield key_subject(topic)
        yield value_subject(topic)
