"""Parts of a plan that cannot be true together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from streams.plan.draft import Draft, Placed, store_name, value_at
from streams.plan.duration import format_duration
from streams.plan.mapping import Problem, mapping_conflicts
from streams.plan.modes import mode_conflicts
from streams.plan.names import TABLE_PATTERN
from streams.plan.replicas import KINDS
from streams.plan.tables import Layout
from streams.plan.template import KeyTemplate
from streams.plan.text import dotted, listed, quoted

# A DynamoDB table's name, as AWS defines it.
_DYNAMO_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")
# A partition key and a sort key.
DYNAMO_KEY_COLUMNS_MAX: Final = 2
UNKEYED: Final = "needs digest_key, which the plan does not have: without a secret, guesses of keys could be tested"
# Depths of runs that name keys in drift.
FINDING: Final = ("checksums", "sample", "full")
# Where a Redis replica keeps tokens.
RESERVED: Final = "holdtrue:"
# Fields of a table that only one kind of replica has.
_ONLY: Final = (("key", ("redis",)), ("tombstones", ("dynamodb",)), ("to", ("postgres", "dynamodb")))


def contradictions(draft: Draft) -> Iterator[Problem]:
    """Every contradiction in what can be understood of the plan; paths are from the top of the plan."""
    yield from _retention(draft)
    yield from _names(draft)
    yield from _defaults(draft)
    for table in draft.placed:
        for problem in _of_table(draft, table):
            yield Problem((*table.path, *problem.path), problem.message)
    yield from _shared_targets(draft)
    yield from _key_spaces(draft)


def _retention(draft: Draft) -> Iterator[Problem]:
    retention, pause = draft.duration("kafka", "retention"), draft.duration("kafka", "longest_pause")
    tombstones = draft.duration("tombstone_retention")
    if retention is None or pause is None:
        return
    if pause >= retention:
        message = (
            f"must be shorter than kafka.retention ({format_duration(retention)}), else a paused consumer loses changes"
        )
        yield Problem(("kafka", "longest_pause"), message)
    if tombstones is not None and tombstones < retention + pause:
        least = format_duration(retention + pause)
        message = f"must be at least kafka.retention + kafka.longest_pause = {least}, else a deleted row can come back"
        yield Problem(("tombstone_retention",), message)


def _names(draft: Draft) -> Iterator[Problem]:
    prefix, own = draft.value("kafka", "prefix"), draft.value("kafka", "topics") or "holdtrue"
    if prefix == own:
        yield Problem(
            ("kafka", "prefix"), f"equals kafka.topics ({quoted(own)}): change topics need a prefix of their own"
        )
    signal = draft.value("source", "signal_table") or "holdtrue.signal"
    if isinstance(signal, str) and draft.value("tables", signal) is not None:
        yield Problem(("tables", signal), "is the signal table, which holdtrue writes itself and no replica copies")


def _defaults(draft: Draft) -> Iterator[Problem]:
    replicas = draft.value("replicas")
    for name in replicas if isinstance(replicas, Mapping) else ():
        common = draft.value("replicas", name, "defaults")
        for field in common if isinstance(common, Mapping) else ():
            if field in Layout.model_fields:
                yield Problem(("replicas", name, "defaults", field), "belongs to one table, not to the defaults of all")


def _of_table(draft: Draft, table: Placed) -> Iterator[Problem]:
    if draft.value("tables", table.table) is None:
        yield Problem((), f"copies {quoted(table.table)}, which is not under tables")
    for field, kinds in _ONLY:
        if getattr(table.layout, field) is not None and table.kind not in kinds and table.kind in KINDS:
            yield Problem((field,), f"has no meaning in a {table.kind} replica, only in {listed(kinds, 'or')}")
    if value_at(table.raw, ("repair", "automatic")) and not _finds_keys(table):
        message = (
            "drift is repaired without being asked where keys of it are found: give validation.scrub_period, or one of "
            f"{listed(FINDING, 'and')} in validation.depths"
        )
        yield Problem(("repair", "automatic"), message)
    if value_at(table.raw, ("validation", "replica_log")) is True:
        yield from _replica_log(table)
    key = draft.key(table.table)
    yield from mapping_conflicts(key or (), table.layout)
    yield from mode_conflicts(table)
    yield from _target_name(table)
    if value_at(table.raw, ("drift", "hidden_keys")) is True and draft.value("digest_key") is None:
        yield Problem(("drift", "hidden_keys"), UNKEYED)
    if table.kind == "dynamodb" and key is not None and len(key) > DYNAMO_KEY_COLUMNS_MAX:
        yield Problem((), f"has a key of {len(key)} columns; a DynamoDB key has at most two")
    if table.kind == "redis" and table.layout.key is not None:
        yield from _template(table.layout.key, key)


def _replica_log(table: Placed) -> Iterator[Problem]:
    path = ("validation", "replica_log")
    if isinstance(table.raw, Mapping) and table.raw.get("mode") in ("verify", "invalidate"):
        message = (
            f"tells what others write from what we do, and under mode {table.raw['mode']} others write: leave it out"
        )
        yield Problem(path, message)
    if table.kind in KINDS and table.kind not in ("postgres", "dynamodb"):
        yield Problem(path, f"has no meaning in a {table.kind} replica, which keeps no log of its changes")
    if value_at(table.raw, ("validation", "scrub_period")) is None:
        message = "what the log shows is looked at by continuous checking: give validation.scrub_period"
        yield Problem(path, message)


def _finds_keys(table: Placed) -> bool:
    """Whether anything that goes on by itself can name a key in drift."""
    depths = value_at(table.raw, ("validation", "depths"))
    named = isinstance(depths, list) and any(depth in FINDING for depth in depths)
    return named or value_at(table.raw, ("validation", "scrub_period")) is not None


def _target_name(table: Placed) -> Iterator[Problem]:
    to = table.layout.to
    if to is not None and table.kind == "postgres" and not re.match(TABLE_PATTERN, to):
        yield Problem(("to",), "must be schema.table, of letters, digits and _")
    if to is not None and table.kind == "dynamodb" and not _DYNAMO_NAME.fullmatch(to):
        yield Problem(("to",), "must be 3 to 255 letters, digits, '.', _ and -: DynamoDB allows no other name")


def _template(text: str, key: tuple[str, ...] | None) -> Iterator[Problem]:
    try:
        template = KeyTemplate.parse(text)
    except ValueError as error:
        yield Problem(("key",), str(error))
        return
    if not template.prefix or template.prefix.startswith(RESERVED):
        problem = (
            f"begins with {RESERVED}, where tokens lie" if template.prefix else "has no text before its first column"
        )
        yield Problem(("key",), f"{problem}: begin it with the table's own word, such as account:")
    if key is None:
        return
    if template.misses(key):
        missed = listed(quoted(column) for column in template.misses(key))
        yield Problem(("key",), f"does not name the key column {missed}: two rows would share one entry")
    for column in template.columns:
        if column not in key:
            yield Problem(
                ("key",), f"names {quoted(column)}, which is not in the table's key: an update would move the row"
            )


def _shared_targets(draft: Draft) -> Iterator[Problem]:
    first: dict[tuple[str, str], Placed] = {}
    source = store_name("postgres", {"dsn": draft.value("source", "dsn")})
    for table in draft.placed:
        if table.store == source and draft.value("tables", table.target) is not None:
            yield Problem(table.path, f"writes to {quoted(table.target)} of the source of truth itself")
        if table.kind == "redis" and table.layout.key is None:
            continue
        other = first.setdefault((table.store, table.target), table)
        if other is not table:
            yield Problem(table.path, f"writes to the same place as {dotted(other.path)}: a row has one writer")


def _key_spaces(draft: Draft) -> Iterator[Problem]:
    """Each table of a store whose keys may be another's, once.

    Two keys may be equal only where one template's prefix begins with the other's. In order, all prefixes that begin
    with one follow it, so that each need only be compared with the shortest before it.
    """
    prefixes = [(table.store, template.prefix, place) for place, table in enumerate(draft.placed)
                if (template := _parsed(table)) is not None]  # fmt: skip
    shortest: tuple[str, str, int] | None = None
    for store, prefix, place in sorted(prefixes):
        if shortest is None or store != shortest[0] or not prefix.startswith(shortest[1]):
            shortest = (store, prefix, place)
        elif draft.placed[place].target != draft.placed[shortest[2]].target:
            first, second = (draft.placed[each].path for each in sorted((place, shortest[2])))
            message = f"can give the same key as {dotted((*first, 'key'))}: begin them with different text"
            yield Problem((*second, "key"), message)


def _parsed(table: Placed) -> KeyTemplate | None:
    try:
        return KeyTemplate.parse(table.layout.key) if table.kind == "redis" and table.layout.key else None
    except ValueError:
        return None
