"""`holdtrue status`: per table × replica, how fresh it is, through what it was verified, and what is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from streams.cli.checking import UNFOLLOWED, checks_on, is_followed
from streams.cli.context import context
from streams.cli.running import runs, without_control
from streams.errors import HoldtrueError, NotReady

if TYPE_CHECKING:
    from datetime import timedelta

    from streams.control.lag import Lag
    from streams.control.offsets import Offsets
    from streams.control.view import Remembered
    from streams.plan.model import Plan, Replica

# How long a mark in the source's log is waited for in Kafka; it takes some tenths of a second.
REACH_SECONDS: Final = 10.0
UNPUBLISHED: Final = "its changes are not published and so lost: run `holdtrue connectors apply`, then validate it"
UNREAD: Final = "none of its rows has reached Kafka: it is not read yet (`holdtrue connectors apply` asks for it)"
UNRECORDED: Final = "its last validation found drift that no key names: run `holdtrue validate`"
UNSETTLED: Final = "keys hold tokens in the store that are not the worker's, and are being settled: see its log"
AWAY: Final = "its store cannot be asked: "
SILENT: Final = "Kafka cannot be asked: how far it is behind, and whether a worker runs, is not known"
COLUMNS: Final = (
    "table", "replica", "lag_seconds", "lag_events", "applied_through", "verified_through", "drift_open", "held",
    "checks", "problems",
)  # fmt: skip


class Measured(NamedTuple):
    """What Kafka tells. reach: how long what the source commits has not reached it, None where that is not known."""

    reach: float | None
    lags: Mapping[str, Mapping[str, Lag]]
    working: Mapping[str, bool]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(status)


def status(ctx: typer.Context) -> None:
    """Show every table of every replica. Exit 3 when a lag bound is broken, or a table is held, in drift or not begun.

    Lag is told from Kafka, so that it is right when no worker runs, and a mark is put into the source's log to see
    whether its changes reach Kafka at all; a connector that does not run is exit 3, too, and so is Kafka, the registry,
    or a store, that is away.
    Lag needs no control; what is verified, in drift and held is what control has remembered. Where it does not run, has
    never started, or its database is away, that is not known: exit 3.
    """
    from streams.plan.check import load_plan

    call = context(ctx)
    plan = load_plan(call.plan_path)
    source = _source_problem(plan)
    measured, away = _measured(plan)
    known, unknown = _known(plan, running=away is None)
    rows = _rows(plan, known, measured)
    call.out.rows("tables", rows if call.out.fmt.value != "table" else [_flat(row) for row in rows], COLUMNS)
    if (cause := away or source) is not None:
        raise cause
    missing = [each for each in (unknown, _registry_problem(plan)) if each is not None]
    told = [each.what for each in missing]
    wrong = sum(1 for row in rows if row["problems"])
    if wrong:
        said = [f"{wrong} of {len(rows)} tables are not as the plan wants them.", *told]
        raise NotReady(" ".join(said), "See the column problems.")
    if missing:
        raise NotReady(" ".join(told), " ".join(each.hint for each in missing))


def _source_problem(plan: Plan) -> NotReady | None:
    """Why changes do not reach Kafka at all, which lag told from Kafka cannot show; None when they do."""
    from streams.connectors.render import connector_name
    from streams.kafka.connect import Connect, not_running

    name = connector_name(plan)
    try:
        wrong = not_running(name, Connect(plan.kafka.connect.resolve(), tries=1).state(name))
    except HoldtrueError as error:
        return NotReady(f"Whether changes reach Kafka is not known: {error.what}", error.hint)
    return wrong and NotReady(f"No change reaches Kafka. {wrong.what}", wrong.hint)


def _registry_problem(plan: Plan) -> NotReady | None:
    """Why the registry does not answer, without which no record says its position; None when it does."""
    from streams.kafka.registry import Registry
    from streams.kafka.schemas import own_subjects

    registry = Registry(plan.kafka.registry.resolve(), tries=1)
    try:
        registry.latest(own_subjects(plan)[0].subject)
    except HoldtrueError as error:
        return NotReady(f"Through which position replicas have applied is not known. {error.what}", error.hint)
    finally:
        registry.close()
    return None


def _known(plan: Plan, *, running: bool) -> tuple[Remembered | None, NotReady | None]:
    """What control has remembered, and why it may be old; None, and why, where it has never started, or is away.

    running: whether it can be asked if control runs.
    """
    from streams.control.database import ControlUnavailable
    from streams.control.view import remembered

    try:
        return remembered(plan), without_control(plan) if running else None
    except ControlUnavailable as error:
        return None, NotReady(f"What is verified, in drift and held is not known. {error.what}", error.hint)


def _rows(plan: Plan, known: Remembered | None, measured: Measured) -> list[dict[str, Any]]:
    reach, lags, working = measured
    at_source = {} if reach is None else _at_source(plan, lags)
    stores = {replica: _store_problems(replica, spec) for replica, spec in plan.replicas.items()}
    followed = {replica: is_followed(plan, replica) for replica in plan.replicas}
    return [
        row(
            table,
            replica,
            lags[replica][table] if lags else None,
            mapping.lag_max,
            known,
            working=working.get(replica, False),
            reach=reach,
            at_source=at_source.get(table, ()),
            store=stores[replica].get(table),
            checks=checks_on(mapping.validation, working=working.get(replica, False), followed=followed[replica]),
            unfollowed=mapping.validation.replica_log and not followed[replica],
        )
        for replica, spec in plan.replicas.items()
        for table, mapping in spec.tables.items()
    ]


def _measured(plan: Plan) -> tuple[Measured, NotReady | None]:
    """What Kafka tells; nothing, and why, where it is away."""
    from streams.kafka.admin import KafkaUnavailable

    try:
        reach, lags = _lags(plan)
        return Measured(reach, lags, {replica: runs(plan, replica) for replica in plan.replicas}), None
    except KafkaUnavailable as error:
        told = f"How far replicas are behind, and which workers run, is not known. {error.what}"
        return Measured(None, {}, {}), NotReady(told, error.hint)


def _lags(plan: Plan) -> tuple[float | None, dict[str, dict[str, Lag]]]:
    """How long what the source commits has not reached Kafka (None: not known), and the lag of what has."""
    from streams.control.offsets import Offsets
    from streams.kafka.registry import Registry

    offsets = Offsets(plan.kafka.bootstrap.resolve(), Registry(plan.kafka.registry.resolve(), tries=1))
    try:
        reach = _reach(plan, offsets)
        return reach, {replica: offsets.lags(plan, replica) for replica in plan.replicas}
    finally:
        offsets.close()


def _at_source(plan: Plan, lags: Mapping[str, Mapping[str, Lag]]) -> Mapping[str, list[str]]:
    """What the source shows to be wrong with tables, of which Kafka knows nothing."""
    from streams.connectors.source import connect, unpublished
    from streams.sot.catalog import connected, not_empty

    dsn = plan.source.dsn.resolve()
    found: dict[str, list[str]] = {}
    with connect(dsn) as connection:
        for table in unpublished(connection, plan):
            found.setdefault(table, []).append(UNPUBLISHED)
    silent = {table for tables in lags.values() for table, lag in tables.items() if not lag.begun}
    if silent:
        with connected(dsn, "the source of truth") as connection:
            for table in not_empty(connection, silent):
                found.setdefault(table, []).append(UNREAD)
    return found


def _store_problems(name: str, replica: Replica) -> Mapping[str, str]:
    """What is wrong with tables in a replica's store. While no change comes, its worker has not noticed either."""
    from streams.cli.stores import ask

    try:
        return ask(name, replica)
    except HoldtrueError as error:
        return dict.fromkeys(replica.tables, f"{AWAY}{error}")


def _reach(plan: Plan, offsets: Offsets) -> float | None:
    from streams.control.reach import waited
    from streams.kafka.topics import message_topic
    from streams.sot.connection import SotUnavailable
    from streams.sot.fence import mark

    put = partial(mark, plan.source.dsn.resolve(), f"holdtrue {plan.name} status")
    try:
        return waited(put, partial(offsets.newest, message_topic(plan)), REACH_SECONDS)
    except SotUnavailable:
        return None


def row(
    table: str,
    replica: str,
    lag: Lag | None,
    bound: timedelta | None,
    known: Remembered | None,
    *,
    working: bool,
    reach: float | None,
    at_source: Sequence[str],
    store: str | None,
    checks: Sequence[str] = (),
    unfollowed: bool = False,
) -> dict[str, Any]:
    """One line of the answer, fields as in the interface document, and `problems` as sentences.

    reach: how long what the source commits has not reached Kafka, of which `lag` knows nothing; None: not known.
    at_source: what is wrong with the table there, as sentences. store: what is wrong with it in the replica's.
    known: None where control has never started, or its database is away. lag: None where Kafka cannot be asked, and who
    works is not known then. checks: the layers of continuous checking that are on; unfollowed: one is not that should.
    """
    lag = lag and lag._replace(seconds=max(lag.seconds, reach or 0.0))
    place = (table, replica)
    mark = known and known.verified.get(place)
    line: dict[str, Any] = {
        "table": table,
        "replica": replica,
        # What has arrived and is not applied is behind in any case; that nothing is behind takes more to know.
        "lag_seconds": round(lag.seconds, 3) if lag and (lag.seconds or reach is not None) else None,
        "lag_events": lag and lag.events,
        "applied_through": lag and lag.applied_through,
        "verified_through": mark and {"position": mark["position"], "at": mark["at"].isoformat()},
        "drift_open": known and known.drift_open.get(place, 0),
        "held": known and known.held.get(place),
        "checks": list(checks),
    }
    found = problems(line, lag, bound, working=working, reach=reach, at_source=at_source)
    if known and (keys := known.suspected.get(place)):
        found = [*found, f"{keys} {UNSETTLED}"]
    if unfollowed:
        found = [*found, UNFOLLOWED]
    # Open drift says the same, and more.
    unrecorded = known and place in known.unrecorded and not line["drift_open"]
    return line | {"problems": [store] * bool(store) + found + [UNRECORDED] * bool(unrecorded)}


def problems(
    line: Mapping[str, Any],
    lag: Lag | None,
    bound: timedelta | None,
    *,
    working: bool,
    reach: float | None,
    at_source: Sequence[str],
) -> list[str]:
    """What is not as the plan wants it; empty when all is."""
    measured = [SILENT] if lag is None else _behind(lag, bound, working=working, reach=reach, at_source=at_source)
    remembered = {"held": line["held"], "drift is open": line["drift_open"]}
    return measured + [problem for problem, there in remembered.items() if there]


def _behind(
    lag: Lag, bound: timedelta | None, *, working: bool, reach: float | None, at_source: Sequence[str]
) -> list[str]:
    found = [] if working else ["no worker is running"]
    if reach is None:
        found.append("the source cannot be asked: whether its changes reach Kafka is not known")
    elif reach:
        found.append(f"what the source has committed did not reach Kafka for {reach:.0f} s")
    found += at_source
    if lag.begun and not lag.committed:
        found.append("no worker has committed anything, or Kafka has forgotten it: all that is there counts as lag")
    elif bound is not None and lag.seconds > bound.total_seconds():
        found.append(f"lag is above the bound of {bound.total_seconds():g} s")
    return found


def _flat(line: Mapping[str, Any]) -> dict[str, Any]:
    mark = line["verified_through"]
    through = mark and f"{mark['position']} at {mark['at'][:19]}Z"
    said = {"checks": ", ".join(line["checks"]) or "none", "problems": "; ".join(line["problems"]) or "none"}
    return {**line, "verified_through": through, **said}
