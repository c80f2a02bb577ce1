"""All that the control database knows of one run: what it found, what came of it, and how things were around it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from streams.control.database import Connection, Database, Row
from streams.control.queries import query

# Records of drift that are named; the others are counted.
DRIFT_MAX: Final = 200
REPAIRS_MAX: Final = 100
HOLDS_MAX: Final = 1_000
# How far around a run its copy is shown, by minutes, or by hours where the minutes are gone. The longest run is 6 h.
AROUND: Final[Mapping[int, timedelta]] = {1: timedelta(hours=1), 60: timedelta(hours=24)}
SAMPLES_MAX: Final = 1_000


class Hold(NamedTuple):
    """A time in which a partition waited; None: the whole table. until: None if it still did when the run ended."""

    partition: int | None
    since: datetime
    until: datetime | None
    who: str
    why: str


class Samples(NamedTuple):
    """Of the run's copy, each the worst of so many minutes, between these moments."""

    minutes: int
    first: datetime
    last: datetime
    rows: Sequence[Row]


@dataclass(frozen=True)
class Dossier:
    """One run. counts: keys of recorded drift that it told of, by kind, cause and present state; drift: first records.

    ended: by state, how much drift it found over. mark: the place's verified-through mark by now. entry: of the run in
    the audit trail; tail: the trail's last one. holds_cut: there were more holds than were looked at.
    """

    plan: str
    run: Row
    counts: Sequence[Row]
    drift: Sequence[Row]
    ended: Mapping[str, int]
    repairs: Sequence[Row]
    holds: Sequence[Hold]
    holds_cut: bool
    mark: Row | None
    entry: Row | None
    tail: Row | None
    samples: Samples

    @property
    def recorded(self) -> int:
        """Keys in drift, as the run told, that there are records of."""
        return sum(row["count"] for row in self.counts)

    @property
    def records(self) -> int:
        """Those records: one may count many keys."""
        return sum(row["records"] for row in self.counts)

    @property
    def repair_count(self) -> int:
        """Repairs that followed, also those beyond REPAIRS_MAX."""
        return self.repairs[0]["repairs"] if self.repairs else 0


def dossier(database: Database, run: str) -> Dossier | None:
    """What is known of a run at one moment; None for a run that is not known."""
    with database.transaction() as connection:
        connection.execute(query("one_snapshot"))
        found = _rows(connection, "show_run", run=run)
        return _dossier(connection, found[0]) if found else None


def _dossier(connection: Connection, run: Row) -> Dossier:
    place, name = {"table": run["table"], "replica": run["replica"]}, run["run"]
    told = _rows(
        connection, "holds_told", object=f"{run['replica']}/{run['table']}", until=run["finished"], limit=HOLDS_MAX
    )
    marks = [row for row in _rows(connection, "verified_through") if place.items() <= row.items()]
    return Dossier(
        plan=_rows(connection, "plan_kept")[0]["plan"],
        run=run,
        counts=_rows(connection, "run_drift_counts", run=name),
        drift=_rows(connection, "run_drift", run=name, limit=DRIFT_MAX),
        ended={row["state"]: row["count"] for row in _rows(connection, "run_ended", run=name)},
        repairs=_rows(connection, "run_repairs", run=name, started=run["started"], limit=REPAIRS_MAX),
        holds=holds_during(reversed(told), run["started"]),
        holds_cut=len(told) == HOLDS_MAX,
        mark=_first(marks),
        entry=_first(_rows(connection, "audit_of_run", run=name)),
        tail=_first(_rows(connection, "audit_tail")),
        samples=_samples(connection, place, run),
    )


def holds_during(told: Iterable[Mapping[str, Any]], started: datetime) -> list[Hold]:
    """The holds that were not over at `started`, from what the trail says of the time until the run ended, in order."""
    open_holds: dict[int | None, Hold] = {}
    ended: list[Hold] = []
    for row in told:
        partition = _partition(row["detail"])
        if row["what"] == "hold":
            known = open_holds.get(partition)
            since = row["at"] if known is None else known.since
            open_holds[partition] = Hold(partition, since, None, row["who"], row["why"])
        else:
            over = [partition] if partition is not None else list(open_holds)
            ended += [open_holds.pop(each)._replace(until=row["at"]) for each in over if each in open_holds]
    held = [hold for hold in ended if hold.until is not None and hold.until >= started]
    return sorted(
        [*held, *open_holds.values()], key=lambda hold: (hold.since, -1 if hold.partition is None else hold.partition)
    )


def _partition(detail: str) -> int | None:
    """The partition that an entry is about; a hold of the whole table has none, or -1."""
    found = json.loads(detail).get("partition") if detail else None
    return found if isinstance(found, int) and found >= 0 else None


def _samples(connection: Connection, place: Mapping[str, Any], run: Row) -> Samples:
    for minutes, around in AROUND.items():
        first, last = run["started"] - around, run["finished"] + around
        values = {**place, "minutes": minutes, "first": first, "last": last, "limit": SAMPLES_MAX}
        rows = _rows(connection, "samples_between", **values)
        if rows:
            break
    return Samples(minutes, first, last, rows)


def _rows(connection: Connection, name: str, **values: Any) -> list[Row]:
    return connection.execute(query(name), values).fetchall()


def _first(rows: Sequence[Row]) -> Row | None:
    return rows[0] if rows else None
