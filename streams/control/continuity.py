"""Control watches whether the source of truth goes on from what it was, and tells drift topic and owners if not.

Each step is remembered before the next one begins, so that a killed control goes on where it was: what has changed,
that drift is open, that every owner has its orders. Steps may be done twice; an order that comes again raises no
number, or has rows looked up in vain.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from uuid import uuid4

from psycopg.types.json import Jsonb

from streams.checks.request import Depth
from streams.control import trail
from streams.control.audit import Fact
from streams.control.database import Connection, Database, Row
from streams.control.offsets import Offsets
from streams.control.orders import Orders
from streams.control.queries import query
from streams.control.run import now
from streams.drift.continuity import Break, Part, Source, broken, continuity_event, thinned
from streams.errors import NotReady
from streams.kafka.wire import cloud_event
from streams.plan.model import Plan

log = logging.getLogger(__name__)

# How long one try to pass a fence may take: the connector may be away for long, and is looked after by this thread.
FENCE_SECONDS: Final = 2.0


class Standing(NamedTuple):
    """What is still to be told. epoch: ordinal of the source's log. untold: a break nobody has heard of yet.

    sweeps: tables whose owners have not been told yet to look for rows that have gone without a record.
    """

    epoch: int
    ordered: bool
    untold: Break | None
    sweeps: tuple[str, ...]


class Continuity:
    """Looks at the source; one look at a time. Raises what database, source and Kafka raise: the next look goes on."""

    def __init__(
        self,
        plan: Plan,
        database: Database,
        offsets: Offsets,
        writer: trail.Writer,
        read: Callable[[], Source],
        pass_fence: Callable[[float], object],
    ) -> None:
        self._plan = plan
        self._database = database
        self._offsets = offsets
        self._writer = writer
        self._read = read
        self._pass_fence = pass_fence
        self._source = f"/holdtrue/{plan.name}/control"

    def look(self, *, slot_refused: bool = False) -> None:
        """Compare the source with what it was, and tell what is not told yet.

        slot_refused: the connector says that its slot does not go on from what it has sent.
        """
        found = self._read()
        standing = self._remember(found._replace(slot=found.slot and not slot_refused))
        if standing.untold is not None:
            announce(self._plan, self._writer, self._source, standing.untold)
            self._move("told_source", reason=standing.untold.reason)
        epoch, sweeps = standing.epoch, standing.sweeps
        if not standing.ordered and self._order(f"log-{epoch}", Depth.log, self._plan.tables, epoch=epoch):
            self._move("ordered_source", epoch=epoch)
        if sweeps and self._order(f"truncate-{uuid4()}", Depth.truncate, sweeps):
            log.warning("rows of %s may have gone without a record: they are looked up", ", ".join(sweeps))
            self._move("swept_source", sweeps=list(sweeps))

    def _remember(self, found: Source) -> Standing:
        with self._database.transaction() as connection:
            connection.execute(query("add_source"), _values(found))
            row = connection.execute(query("lock_source")).fetchone()
            assert row is not None  # made by the statement before
            before = _seen(self._plan, row)
            happened = broken(before, found)
            sweeps = {*row["sweeps"], *thinned(before, found)} & self._plan.tables.keys()
            standing = _standing(row, happened, tuple(sorted(sweeps)))
            if happened is not None:
                log.error("%s. To be validated: %s.", happened.reason, _which(happened))
                trail.append(connection, [_fact(self._plan, happened, found, standing.epoch)])
            _move(connection, found, standing)
        return standing

    def _order(self, run: str, depth: Depth, tables: Collection[str], **more: Any) -> bool:
        """Tell every owner of these tables what holds for records up to a floor, or from it on; False if it must wait.

        The floors lie behind a fence: what was in the source's log before it, and all that was sent of a log before
        that one, is below them in Kafka.
        """
        try:
            self._pass_fence(time.monotonic() + FENCE_SECONDS)
        except NotReady as error:
            log.warning("an order to the owners of %s waits: %s", ", ".join(tables), error)
            return False
        places = [(self._plan.change_topic(table), n) for table in tables
                  for n in range(self._plan.tables[table].partitions)]  # fmt: skip
        floors = self._offsets.ends(places)
        orders = Orders(self._plan, self._writer, self._source)
        for replica, table in pairs(self._plan):
            topic = self._plan.change_topic(table)
            for partition in (partition for place, partition in places if place == topic):
                between = (0, floors[topic, partition])
                orders.send(run, depth, replica, table, partition, between=between, **more)
        self._writer.flush()
        return True

    def _move(self, name: str, **values: Any) -> None:
        with self._database.transaction() as connection:
            connection.execute(query(name), values)


def pairs(plan: Plan) -> Iterator[tuple[str, str]]:
    """Every replica with each of its tables."""
    return ((replica, table) for replica, spec in plan.replicas.items() for table in spec.tables)


def announce(plan: Plan, writer: trail.Writer, source: str, happened: Break) -> None:
    """Open continuity drift for every touched table of every replica; returns when Kafka has it."""
    touched = [(replica, table) for replica, table in pairs(plan) if happened.touches(table)]
    tell(plan, writer, source, touched, "source", happened.cause, happened.reason)


def tell(
    plan: Plan,
    writer: trail.Writer,
    source: str,
    places: Iterable[tuple[str, str]],
    about: str,
    cause: str,
    reason: str,
) -> None:
    """Open continuity drift of these tables in these replicas, and have those wait that the plan wants to wait.

    Returns when Kafka has it. about: what was lost, "source" or "store".
    """
    orders = Orders(plan, writer, source)
    for replica, table in places:
        if plan.replicas[replica].tables[table].on_continuity == "hold":
            orders.tell(Depth.hold, replica, table, by=source.rpartition("/")[2], reason=reason)
        event = continuity_event(replica, table, about, cause, reason, now())
        writer.send(plan.own_topic("drift"), event["id"], "drift", event, cloud_event("holdtrue.drift", source))
    writer.flush()


def _seen(plan: Plan, row: Row) -> Source:
    """The source at the last look. What has left the plan since is nobody's loss."""
    published = {table: oid for table, oid in row["published"].items() if table in plan.tables}
    parts = {table: {oid: Part(*of) for oid, of in found.items()} for table, found in row["parts"].items()
             if table in plan.tables}  # fmt: skip
    return Source(row["system"], row["timeline"], int(row["lsn"]), row["slot"], published, parts)


def _standing(row: Row, happened: Break | None, sweeps: tuple[str, ...]) -> Standing:
    tables = None if row["tables"] is None else tuple(row["tables"])
    untold = None if row["reason"] is None else Break(row["cause"], row["reason"], False, tables)
    if happened is None:
        return Standing(row["epoch"], row["ordered"], untold, sweeps)
    # The clock makes it larger than any that was given before a control database was lost.
    epoch = max(row["epoch"] + 1, int(time.time())) if happened.new_log else row["epoch"]
    return Standing(epoch, row["ordered"] and not happened.new_log, happened.after(untold), sweeps)


def _move(connection: Connection, found: Source, standing: Standing) -> None:
    untold = standing.untold
    told: Mapping[str, Any] = {
        "cause": untold and untold.cause,
        "reason": untold and untold.reason,
        "tables": untold and untold.tables and list(untold.tables),
    }
    own = {"epoch": standing.epoch, "ordered": standing.ordered, "sweeps": list(standing.sweeps)}
    values = {**_values(found), **own, **told}
    connection.execute(query("move_source"), values)


def _values(found: Source) -> dict[str, Any]:
    return {**found._asdict(), "published": Jsonb(dict(found.published)), "parts": Jsonb(dict(found.parts))}


def _which(happened: Break) -> str:
    return "every table" if happened.tables is None else ", ".join(happened.tables)


def _fact(plan: Plan, happened: Break, found: Source, epoch: int) -> Fact:
    detail = {
        "system": found.system, "timeline": str(found.timeline), "epoch": str(epoch), "tables": _which(happened),
    }  # fmt: skip
    at = now()
    return Fact(at, "control", "source.broken", plan.name, happened.reason, detail, f"source:{at.isoformat()}")
