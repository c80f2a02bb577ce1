"""Control watches whether a replica's servers still have what they acknowledged, and tells the drift topic if not.

A Redis that takes over from another lacks what that one had not passed on yet, tokens included; one that was restarted
lacks what was not on disk. Neither says so. Which history of writes a server has, it does say (decision 8).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from streams.control import trail
from streams.control.audit import Fact
from streams.control.continuity import tell
from streams.control.database import Connection, Database
from streams.control.queries import query
from streams.control.run import now
from streams.drift.cause import FAILOVER
from streams.plan.model import Plan, RedisReplica

log = logging.getLogger(__name__)

REASON: Final = (
    "a Redis server took over from another, or was restarted: it may lack what was acknowledged last, tokens included"
)


class Store(Protocol):
    """The servers of a replica."""

    def histories(self) -> frozenset[str]:
        """The history of writes that each of them has. Raises StoreUnavailable."""


class Stores:
    """Looks at replicas, one look at a time. Raises what store, database and Kafka raise: the next look goes on."""

    def __init__(
        self, plan: Plan, database: Database, writer: trail.Writer, open_store: Callable[[str], Store]
    ) -> None:
        self._plan = plan
        self._database = database
        self._writer = writer
        self._open = open_store
        self._stores: dict[str, Store] = {}
        # Those that can lose what they have acknowledged, and tell of it.
        self.replicas = [name for name, spec in plan.replicas.items() if isinstance(spec, RedisReplica)]

    def look(self, replica: str) -> None:
        """Compare a replica's servers with what they were, and tell what is not told yet."""
        if replica not in self._stores:
            self._stores[replica] = self._open(replica)
        if self._remember(replica, self._stores[replica].histories()):
            self._announce(replica)
            self._database.rows("told_store", {"replica": replica})

    def _remember(self, replica: str, found: frozenset[str]) -> bool:
        """Whether there is a loss to be told."""
        with self._database.transaction() as connection:
            connection.execute(query("add_store"), {"replica": replica, "histories": sorted(found)})
            row = connection.execute(query("lock_store"), {"replica": replica}).fetchone()
            assert row is not None  # made by the statement before
            # A server that comes, to a cluster, takes nothing back.
            lost = bool(set(row["histories"]) - found)
            if lost:
                log.error("%s: %s. To be validated.", replica, REASON)
                self._record(connection, replica, now())
            values = {"replica": replica, "histories": sorted(found), "lost": lost}
            connection.execute(query("move_store"), values)
        return lost or not row["told"]

    def _record(self, connection: Connection, replica: str, at: datetime) -> None:
        fact = Fact(at, "control", "store.broken", replica, REASON, {}, f"store:{replica}:{at.isoformat()}")
        trail.append(connection, [fact])

    def _announce(self, replica: str) -> None:
        """Open continuity drift for every table of the replica; returns when Kafka has it."""
        places = [(replica, table) for table in self._plan.replicas[replica].tables]
        tell(self._plan, self._writer, f"/holdtrue/{self._plan.name}/control", places, "store", FAILOVER, REASON)
