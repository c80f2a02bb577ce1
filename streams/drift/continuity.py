"""Continuity: whether what is known of the source of truth still goes on from what was known before.

After a failover, a restore or an upgrade the log may say again, or never have said, what replicas already hold; after
a slot is gone, or while a table is not published, changes may never have been sent. No record tells of that. So it is
said of whole tables, and only a full run ends it (design, Ordering 15). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from streams.drift.cause import FAILOVER, MISSED_CHANGE
from streams.drift.record import record


class Part(NamedTuple):
    """A partition of a table.

    since: the transaction that made it one. file: where its rows are; a TRUNCATE gives it another, as VACUUM FULL and
    some forms of ALTER TABLE do. born: it has been this partition since it was created, so that the log tells of all
    its rows. logged: whether its changes are in the log, under their whole key.
    """

    since: str
    file: str
    born: bool
    logged: bool


Parts = Mapping[str, Mapping[str, Part]]  # of tables, by oid


class Source(NamedTuple):
    """The source of truth at a moment.

    system: its cluster's identifier. timeline: of its log. lsn: where its log ended. slot: whether the slot was there
    and had all that the connector still needs. published: the plan's tables whose every change it was given, by oid.
    parts: the partitions of those that have any.
    """

    system: str
    timeline: int
    lsn: int
    slot: bool
    published: Mapping[str, int]
    parts: Parts


class Break(NamedTuple):
    """Why a source does not go on from what it was. new_log: its positions and transaction ids may begin again.

    tables: those of which changes may be missing; None: all.
    """

    cause: str
    reason: str
    new_log: bool
    tables: tuple[str, ...] | None = None

    def touches(self, table: str) -> bool:
        """Whether changes of the table may be missing."""
        return self.tables is None or table in self.tables

    def after(self, untold: Break | None) -> Break:
        """This break, told together with one before it that nobody has heard of yet."""
        if untold is None or self.tables is None:
            return self
        if untold.tables is None:
            return untold
        return self._replace(tables=tuple(sorted({*untold.tables, *self.tables})))


def broken(before: Source, now: Source) -> Break | None:
    """What has happened between two looks; None where one goes on from the other."""
    if now.system != before.system:
        return Break(FAILOVER, f"the source is another cluster: {now.system}, not {before.system}", True)
    if now.timeline != before.timeline:
        said = f"the source is on timeline {now.timeline}, not {before.timeline}: a failover or a restore"
        return Break(FAILOVER, said, True)
    if now.lsn < before.lsn:
        ends = f"the source's log ends at {position(now.lsn)}, and had reached {position(before.lsn)}: a restore"
        return Break(FAILOVER, ends, True)
    if before.slot and not now.slot:
        return Break(MISSED_CHANGE, "the replication slot was dropped, made anew, or has lost what it must give", False)
    # A slot that is made later begins with all rows, whatever was published or attached before it.
    return _missed(before, now) if before.slot else None


def _missed(before: Source, now: Source) -> Break | None:
    left = {table for table, oid in before.published.items() if now.published.get(table) != oid}
    brought = {table for table in before.parts if _brought(before.parts[table], now.parts.get(table, {}))}
    said = (
        (left, "it was not published for a while, or was dropped and made anew"),
        (brought, "a partition was attached to it, whose rows are in no log"),
    )
    reason = "; ".join(reason for tables, reason in said if tables)
    return Break(MISSED_CHANGE, reason, False, tuple(sorted(left | brought))) if reason else None


def _brought(before: Mapping[str, Part], now: Mapping[str, Part]) -> bool:
    """Whether a partition has come with rows of its own."""
    return any(not part.born for oid, part in now.items() if oid not in before or before[oid].since != part.since)


def thinned(before: Source, now: Source) -> tuple[str, ...]:
    """Tables that may have lost rows without a record: with a partition, or with what was in one.

    Nothing is lost by looking their rows up in vain, so that it need not be known what has happened. One that was
    attached later brings its own (`broken`).
    """
    return tuple(sorted(table for table in before.parts if _fewer(before.parts[table], now.parts.get(table, {}))))


def _fewer(before: Mapping[str, Part], now: Mapping[str, Part]) -> bool:
    return any(oid not in now or now[oid][:2] != part[:2] for oid, part in before.items())


def position(lsn: int) -> str:
    """A log position as Postgres writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def continuity_event(
    replica: str, table: str, about: str, cause: str, reason: str, now: datetime, **more: Any
) -> dict[str, Any]:
    """An event of the drift topic: changes of this table may be missing in this replica. about: what was lost."""
    place = f"continuity {about}"
    return record(
        replica, table, kind="continuity", cause=cause, state="open", at=now, place=place, reason=reason, **more
    )
