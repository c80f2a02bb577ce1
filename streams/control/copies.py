"""Control's looks at each copy, one table of one replica: kept as samples, and told where it is in sync again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from uuid import uuid4

from psycopg.types.json import Jsonb

from streams.control.database import Connection, Database, Row
from streams.control.lag import Lag, behind_seconds
from streams.control.queries import query
from streams.control.run import now
from streams.control.sync import SIGNAL, Look, Sync, Why, detail_of, follow, is_news, told
from streams.control.trail import Writer
from streams.drift.lifecycle import OPEN
from streams.kafka.wire import cloud_event
from streams.plan.model import Plan

Place = tuple[str, str]  # (table, replica)

# A minute each: 2,880 rows of every copy.
MINUTES_KEPT: Final = timedelta(days=2)
# An hour each, from then on: 9,600 rows, for an audit of the year.
HOURS_KEPT: Final = timedelta(days=400)
THIN_EVERY: Final = timedelta(hours=1)


class _State(NamedTuple):
    """What the database knows of all copies at a moment."""

    drift: Mapping[Place, int]
    broken: frozenset[Place]
    held: frozenset[Place]


class Copies:
    """Looks at all copies of the plan. Raises what database and Kafka raise: the next look goes on."""

    def __init__(self, plan: Plan, database: Database, writer: Writer, clock: Callable[[], datetime] = now) -> None:
        self._plan = plan
        self._database = database
        self._writer = writer
        self._clock = clock
        self._thinned: datetime | None = None
        self._rules = {place: rules_of(plan, *place) for place in _places(plan)}
        # What somebody else writes is not brought into sync here: how far we have noted it says nothing of that.
        self._foreign = {(t, r) for t, r in self._rules if plan.replicas[r].tables[t].mode == "verify"}

    def look(self, lags: Mapping[str, Mapping[str, Lag]], source_seconds: float | None) -> None:
        """Keep and tell what is known now. lags: by replica and table, of those that could be asked about."""
        at, state = self._clock(), self._state()
        known = {(table, replica): lags.get(replica, {}).get(table) for table, replica in self._rules}
        seconds = {place: None if lag is None else behind_seconds(lag, source_seconds) for place, lag in known.items()}
        for place, lag in known.items():
            self._keep(place, at, lag, seconds[place], state)
        self._thin(at)
        for place, lag in known.items():
            self._tell(place)
            if lag is not None and place not in self._foreign:
                self._follow(place, self._look(place, at, lag, seconds[place], state))
                self._tell(place)

    def _state(self) -> _State:
        counts = self._database.rows("drift_counts", {"states": [state.value for state in OPEN]})
        drift: dict[Place, int] = {}
        for row in counts:
            drift[_place(row)] = drift.get(_place(row), 0) + row["count"]
        broken = frozenset(_place(row) for row in counts if row["kind"] == "continuity")
        return _State(drift, broken, frozenset(_place(row) for row in self._database.rows("holds")))

    def _look(self, place: Place, at: datetime, lag: Lag, seconds: float | None, state: _State) -> Look:
        bound = self._plan.replicas[place[1]].tables[place[0]].lag_max or timedelta(0)
        held, broken = place in state.held, place in state.broken
        return Look(at, lag, seconds, bound.total_seconds(), held, broken, self._rules[place])

    def _keep(self, place: Place, at: datetime, lag: Lag | None, seconds: float | None, state: _State) -> None:
        """The worst of each minute: several looks of several controls make one sample."""
        values = _named(place) | {"at": at.replace(second=0, microsecond=0), "lag_seconds": seconds}
        values |= {"lag_events": lag and lag.events, "drift_open": state.drift.get(place, 0)}
        with self._database.transaction() as connection:
            connection.execute(query("put_sample"), {**values, "held": place in state.held})

    def _follow(self, place: Place, look: Look) -> None:
        """Remember the look and, in the same transaction, what there is to tell of it."""
        with self._database.transaction() as connection:
            # Another control may look at the same moment: each goes on from what the other has seen.
            connection.execute(query("lock_syncs"), _named(place))
            row = connection.execute(query("sync_of"), _named(place)).fetchone()
            known, untold = follow(_sync(row), look), None
            if is_news(known, look.at):
                untold = _signal(place, known, look)
                known = told(known)
            _put(connection, place, known, untold)

    def _tell(self, place: Place) -> None:
        """Put on the signals topic what it does not have; a kill behind that tells it again, under the same id."""
        rows = self._database.rows("untold_sync", _named(place))
        for untold in (row["untold"] for row in rows):
            record = untold | {"at": datetime.fromisoformat(untold["at"])}
            headers = cloud_event("holdtrue.signal", f"/holdtrue/{self._plan.name}/control", event_id=untold["id"])
            self._writer.send(self._plan.own_topic("signals"), untold["id"], "signal", record, headers)
            self._writer.flush()
            with self._database.transaction() as connection:
                connection.execute(query("told_sync"), _named(place) | {"id": untold["id"]})

    def _thin(self, at: datetime) -> None:
        if self._thinned is not None and at - self._thinned < THIN_EVERY:
            return
        hour = (at - MINUTES_KEPT).replace(minute=0, second=0, microsecond=0)
        with self._database.transaction() as connection:
            connection.execute(query("thin_samples"), {"before": hour})
            connection.execute(query("forget_samples"), {"before": at - HOURS_KEPT})
        self._thinned = at


def rules_of(plan: Plan, table: str, replica: str) -> str:
    """A short hash of how the plan has a table copied; what it leaves at its default is not in it."""
    said = [
        plan.replicas[replica].kind,
        plan.tables[table].model_dump(mode="json", exclude_defaults=True),
        plan.replicas[replica].tables[table].model_dump(mode="json", exclude_defaults=True),
    ]
    return blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()


def _places(plan: Plan) -> Iterator[Place]:
    return ((table, replica) for replica, spec in plan.replicas.items() for table in spec.tables)


def _place(row: Row) -> Place:
    return row["table"], row["replica"]


def _named(place: Place) -> dict[str, Any]:
    return {"table": place[0], "replica": place[1]}


def _sync(row: Row | None) -> Sync | None:
    if row is None:
        return None
    return Sync(row["rules"], Why(row["out"]) if row["out"] else None, row["since"], row["within_since"])


def _put(connection: Connection, place: Place, known: Sync, untold: dict[str, Any] | None) -> None:
    values = {**known._asdict(), "untold": None if untold is None else Jsonb(untold)}
    connection.execute(query("put_sync"), {**values, **_named(place)})


def _signal(place: Place, known: Sync, look: Look) -> dict[str, Any]:
    """True since the first look that found it in sync."""
    assert known.within_since is not None  # it is news
    return {
        "id": str(uuid4()), "type": SIGNAL, **_named(place), "position": look.lag.applied_through, "run": None,
        "detail": detail_of(known, look), "at": known.within_since.isoformat(),
    }  # fmt: skip
