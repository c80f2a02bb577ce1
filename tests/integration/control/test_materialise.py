"""Our topics in the control database: each record once, whatever is sent again, by whomever."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from streams.control import materialise, trail
from streams.control.acceptances import Acceptances
from streams.control.audit import flaws
from streams.control.database import ControlRefused, ControlUnavailable, Database
from streams.control.gauges import ratio
from streams.control.materialise import HANDLERS, Materialiser, taken_topics
from streams.control.queries import migrations
from streams.control.run import now
from streams.control.view import drift_row
from streams.drift.lifecycle import OPEN
from streams.drift.names import Names
from streams.kafka.registry import UnknownSchema
from streams.plan.model import Plan, SecretRef
from streams.validation.report import Report
from tests.integration.control.records import (
    DRIFT,
    LETTERS,
    REPAIRS,
    SCHEMAS,
    SIGNALS,
    TABLE,
    Record,
    at,
    drift,
    encoded,
    letter,
    repaired,
    signal,
)
from tests.unit.control.test_run import REACHED, REPORT, signal_of

pytestmark = pytest.mark.stack
LIFE = [drift(0, "suspected"), drift(1, "open"), drift(2, "repairing", repair="r1"), drift(3, "repaired"),
        drift(4, "resolved")]  # fmt: skip
TABLES = ("drift", "drift_events", "runs", "repairs", "repair_items", "signals", "holds", "dead_letters", "audit",
          "unreadable", "progress")  # fmt: skip


def content(dsn: str) -> dict[str, list[Any]]:
    """Everything in the control database."""
    with psycopg.connect(dsn) as connection:
        return {
            name: connection.execute(f"SELECT t::text FROM holdtrue.{name} t ORDER BY 1").fetchall()  # type: ignore[arg-type]
            for name in TABLES
        }


def everything(materialiser: Materialiser) -> None:
    """One of everything that is sent."""
    materialiser.apply(DRIFT, 0, [*LIFE, drift(5, "open", drift="d2")])
    materialiser.apply(SIGNALS, 1, [signal(0, "table-held", {"reason": "odd", "partition": "2", "offset": "40"}),
                                    signal(1, "sync-updated", {}), run_record(2)])  # fmt: skip
    materialiser.apply(LETTERS, 0, [letter(0, 40), letter(1, 41)])
    materialiser.apply(REPAIRS, 3, [repaired(0, "failed"), repaired(1, "repaired")])


def run_record(offset: int, **fields: Any) -> Record:
    """The signal of a run that was correct."""
    made = signal_of(REPORT)
    return signal(offset, made["type"], made["detail"] | fields, run="r1", position=made["position"], table="public.t")


def audited(database: Database) -> list[tuple[str, str]]:
    """What the trail says, in order."""
    return [(entry.what, entry.object) for entry in trail.read(database)]


def test_a_life_is_the_state_of_the_drift_and_its_history(materialiser: Materialiser, database: Database) -> None:
    """The drift as it is now, and every step on the way."""
    materialiser.apply(DRIFT, 0, LIFE)
    (row,) = database.rows("show_drift", {"id": "d1"})
    assert (row["state"], row["first_seen"], row["last_seen"], row["times_seen"]) == ("resolved", at(0), at(1), 2)
    assert row["repair"] == "r1"
    history = database.rows("drift_history", {"id": "d1"})
    assert [(step["before"], step["state"], step["verdict"]) for step in history] == [
        (None, "suspected", "began"),
        ("suspected", "open", "moved"),
        ("open", "repairing", "moved"),
        ("repairing", "repaired", "moved"),
        ("repaired", "resolved", "moved"),
    ]
    assert audited(database) == [(f"drift.{step}", "d1") for step in ("open", "repairing", "resolved")]


def test_taking_everything_in_again_changes_nothing(materialiser: Materialiser, database: Database, dsn: str) -> None:
    """A group offset that was never committed: the records come again, as a whole or from the middle."""
    everything(materialiser)
    before = content(dsn)
    assert [name for name, rows in before.items() if not rows] == ["unreadable"]
    everything(materialiser)
    materialiser.apply(DRIFT, 0, LIFE[2:])
    assert content(dsn) == before


def test_a_step_that_does_not_follow_is_kept_and_never_applied(materialiser: Materialiser, database: Database) -> None:
    """What has ended cannot be repaired before it is seen again: the event is history, and in the trail."""
    materialiser.apply(DRIFT, 0, [drift(0, "open"), drift(1, "resolved"), drift(2, "repaired", reason="odd")])
    assert database.rows("show_drift", {"id": "d1"})[0]["state"] == "resolved"
    assert database.rows("drift_history", {"id": "d1"})[2]["verdict"] == "refused"
    assert audited(database) == [("drift.open", "d1"), ("drift.resolved", "d1"), ("drift.refused", "d1")]


@pytest.mark.parametrize("of", [{}, {"kind": "continuity", "key": None, "key_bytes": None}], ids=["a key", "a table"])
def test_a_run_ends_drift_only_as_far_as_control_knew(
    materialiser: Materialiser, database: Database, of: dict[str, Any]
) -> None:
    """What control heard of after the run had looked is nothing that the run has closed."""
    materialiser.apply(DRIFT, 0, [drift(0, "open", **of), drift(5, "open", **of)])
    materialiser.apply(DRIFT, 0, [drift(6, "superseded", **of, run="r1", ends_before=5)])
    assert database.rows("show_drift", {"id": "d1"})[0]["state"] == "open"
    # Told of in the same batch, by somebody whose clock is behind.
    again = drift(8, "open", **of, minute=1)
    materialiser.apply(DRIFT, 0, [again, drift(9, "superseded", **of, run="r2", ends_before=8)])
    assert database.rows("show_drift", {"id": "d1"})[0]["state"] == "open"
    # That an end was refused is no news of the drift: two runs, which began after it was told of last.
    ends = [drift(offset, "superseded", **of, run=f"r{offset}", ends_before=9) for offset in (10, 11)]
    (row,) = database.rows("open_drift", {"table": TABLE, "replica": "cache", "limit": 10})
    assert row["offset"] == 8
    materialiser.apply(DRIFT, 0, ends[:1])
    materialiser.apply(DRIFT, 0, ends[1:])
    assert database.rows("drift_history", {"id": "d1"})[-1]["verdict"] == "repeated"
    assert database.rows("show_drift", {"id": "d1"})[0]["state"] == "superseded"


def test_a_run_asks_for_open_drift_and_where_it_was_told_of_last(
    materialiser: Materialiser, database: Database
) -> None:
    """By the newest record of each, a refused one too; the drift of other tables, and what has ended, is none of it."""
    ended = [drift(3, "open", drift="d5"), drift(4, "superseded", drift="d5")]
    materialiser.apply(DRIFT, 0, [*LIFE[:3], *ended])
    refused = drift(5, "accepted", drift="d2", reason="odd")
    materialiser.apply(DRIFT, 1, [drift(3, "open", drift="d2"), drift(4, "repaired", drift="d2"), refused])
    materialiser.apply(DRIFT, 2, [drift(6, "open", drift="d3", table="public.other"),
                                 drift(7, "open", drift="d4"), drift(8, "repairing", drift="d4", repair="r1"),
                                 drift(9, "repaired", drift="d4")])  # fmt: skip
    found = database.rows("open_drift", {"table": TABLE, "replica": "cache", "limit": 10})
    assert [(row["id"], row["state"], row["partition"], row["offset"]) for row in found] == [
        ("d1", "repairing", 0, 2),
        ("d2", "repaired", 1, 5),
        ("d4", "repaired", 2, 9),
    ]


def test_keys_that_are_only_counted_count_as_many_keys(materialiser: Materialiser, database: Database) -> None:
    """The newest record of a flood says how many there are; all of a run's drift is recorded then."""
    flood: dict[str, Any] = {"drift": "flood", "key": None, "key_bytes": None, "kind": "missing", "causes": {"x": 7}}
    materialiser.apply(DRIFT, 0, [drift(0, "open", **flood, keys=70, run="r0")])
    materialiser.apply(DRIFT, 0, [drift(1, "open", **flood, keys=7, run="r1"), drift(2, "open", run="r1")])
    counts = database.rows("drift_counts", {"states": ["open"]})
    assert {row["kind"]: row["count"] for row in counts} == {"missing": 7, "stale": 1}
    shown = drift_row(database.rows("show_drift", {"id": "flood"})[0])
    assert (shown["key"], shown["keys"], shown["causes"], shown["times_seen"]) == (None, 7, {"x": 7}, 2)
    for found, unrecorded in (("8", 0), ("9", 1)):
        run = run_record(int(found), outcome="drifted", drift_found=found, verified_through="")
        materialiser.apply(SIGNALS, 1, [run])
        assert len(database.rows("unrecorded_drift")) == unrecorded, found
        with database.transaction() as connection:
            connection.execute("DELETE FROM holdtrue.runs")
    materialiser.apply(DRIFT, 0, [drift(3, "superseded", **flood, keys=7, run="r2", ends_before=2)])
    assert [row["count"] for row in database.rows("drift_counts", {"states": ["open"]})] == [1]


def test_what_is_accepted_counts_again_from_its_date_on(
    materialiser: Materialiser, database: Database, plan: Plan
) -> None:
    """Runs that see it meanwhile change nothing; control opens it again, also when it says so twice."""
    word = {"ordered_by": "ada", "accepted_by": "ada", "accepted_until": at(60), "reason": "known"}
    materialiser.apply(DRIFT, 0, [drift(0, "open"), drift(1, "accepted", **word), drift(2, "open", run="r1")])
    row = drift_row(database.rows("show_drift", {"id": "d1"})[0])
    assert (row["state"], row["accepted_by"], row["times_seen"], row["reason"]) == ("accepted", "ada", 2, "known")
    assert row["accepted_until"] == at(60).isoformat()
    assert database.rows("drift_counts", {"states": [*OPEN]}) == []
    assert [(entry.what, entry.who) for entry in trail.read(database)][1:] == [("drift.accepted", "ada")]
    # Longer, before it is over: another order, in the trail as well.
    materialiser.apply(DRIFT, 0, [drift(3, "accepted", **word | {"accepted_until": at(90)})])
    assert [entry.what for entry in trail.read(database)][1:] == ["drift.accepted"] * 2
    sent: list[dict[str, Any]] = []
    writer: Any = SimpleNamespace(send=lambda topic, key, schema, event, headers: sent.append(event), flush=int)
    for _ in range(2):
        Acceptances(plan, database, writer).look()
    assert [(event["state"], event["key"]) for event in sent] == [("open", {"aid": "7"})] * 2
    assert "accepted by ada until 2026-05-01 13:30Z" in sent[0]["reason"]
    materialiser.apply(DRIFT, 0, [Record(offset, encoded("drift", event)) for offset, event in enumerate(sent, 4)])
    assert [row["count"] for row in database.rows("drift_counts", {"states": [*OPEN]})] == [1]
    row = database.rows("show_drift", {"id": "d1"})[0]
    assert (row["state"], row["accepted_by"], row["accepted_until"], row["times_seen"]) == ("open", None, None, 2)
    Acceptances(plan, database, writer).look()
    assert len(sent) == 2


def test_keys_of_repairs_are_kept_as_the_plan_shows_them(
    database: Database, plan: Plan, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results carry them for the workers and whoever ordered; a hidden one does not enter the database."""
    monkeypatch.setenv("TESTS_KEY", "a secret")
    hiding = plan.model_copy(update={"digest_key": SecretRef(env="TESTS_KEY")})
    table = plan.replicas["cache"].tables[TABLE]
    hidden = table.model_copy(update={"drift": table.drift.model_copy(update={"hidden_keys": True})})
    cache = plan.replicas["cache"].model_copy(update={"tables": {TABLE: hidden}})
    hiding = hiding.model_copy(update={"replicas": {**plan.replicas, "cache": cache}})
    Materialiser(database, hiding, SCHEMAS).apply(REPAIRS, 0, [repaired(0, "repaired")])
    Materialiser(database, plan, SCHEMAS).apply(REPAIRS, 1, [repaired(0, "repaired", repair="r2")])
    with psycopg.connect(dsn) as connection:
        kept = dict(connection.execute("SELECT repair, key_bytes FROM holdtrue.repair_items").fetchall())
    assert kept == {"r1": Names("cache", TABLE, (), b"a secret").shown(b"7"), "r2": b"7"}


def test_later_steps_keep_what_earlier_ones_said(materialiser: Materialiser, database: Database) -> None:
    """A repair does not know the tokens and columns that the check saw."""
    found = drift(0, "open", entry_token=b"e" * 16, columns=["a"], run="r1", cause="rogue write")
    materialiser.apply(DRIFT, 0, [found, drift(1, "repairing", key=None, key_bytes=None, repair="p1")])
    row = database.rows("show_drift", {"id": "d1"})[0]
    assert (row["key"], bytes(row["entry_token"]), row["columns"], row["run"], row["repair"], row["cause"]) == (
        {"aid": "7"}, b"e" * 16, ["a"], "r1", "p1", "rogue write",
    )  # fmt: skip
    materialiser.apply(DRIFT, 0, [drift(2, "open", kind="missing")])
    assert database.rows("show_drift", {"id": "d1"})[0]["cause"] == "unknown", "of another kind, nothing is known yet"


def test_seeing_a_drift_again_keeps_why_it_began(materialiser: Materialiser, database: Database) -> None:
    """A run sees that a refused row is not there, and not why; another state, or another kind, is another matter."""
    refused = drift(0, "open", kind="unapplied", reason="too long")
    materialiser.apply(DRIFT, 0, [refused, drift(1, "open", kind="unapplied")])
    assert database.rows("show_drift", {"id": "d1"})[0]["reason"] == "too long"
    materialiser.apply(DRIFT, 0, [drift(2, "open", kind="stale")])
    assert database.rows("show_drift", {"id": "d1"})[0]["reason"] is None


def test_a_new_life_keeps_nothing_of_the_last_one(materialiser: Materialiser, database: Database) -> None:
    """The repair of the life before did not repair this one."""
    materialiser.apply(DRIFT, 0, [*LIFE, drift(5, "open")])
    row = database.rows("show_drift", {"id": "d1"})[0]
    assert (row["state"], row["repair"], row["first_seen"], row["times_seen"], row["lives"]) == (
        "open", None, at(5), 1, 2,
    )  # fmt: skip


def test_row_values_do_not_enter_the_database(materialiser: Materialiser, dsn: str) -> None:
    """They are on the topic where the plan opts in, and nowhere else; nor are the bytes of dead letters."""
    materialiser.apply(DRIFT, 0, [drift(0, "open", sot_row={"abalance": "hush"}, replica_row={"abalance": "hush"})])
    materialiser.apply(LETTERS, 0, [letter(0, 40)])
    stored = str(content(dsn))
    assert "hush" not in stored
    assert "secret" not in stored
    assert b"secret".hex() not in stored


def test_runs_are_kept_with_their_mark(materialiser: Materialiser, database: Database) -> None:
    """All figures of a run; a signal that is no run is in the trail and not among the runs."""
    materialiser.apply(SIGNALS, 0, [run_record(0), run_record(1, outcome="fine")])
    (run,) = database.rows("newest_runs")
    assert (run["table"], run["verified"], run["outcome"]) == ("public.t", 10, "correct")
    (mark,) = database.rows("verified_through")
    assert (mark["position"], mark["at"]) == ("0/16B3748", REACHED)
    assert [what for what, _ in audited(database)] == ["run", "run.refused"]


def test_the_end_of_a_run_that_is_told_twice_is_one(materialiser: Materialiser, database: Database) -> None:
    """It was killed between telling of it and knowing that it had."""
    detail = signal_of(Report("r1", TABLE, "cache", "full"))["detail"]
    ends = [signal(number, "run-finished", detail, run="r1", id="s1") for number in range(2)]
    materialiser.apply(SIGNALS, 0, ends)
    assert len(database.rows("newest_runs")) == 1
    assert audited(database) == [("run", f"cache/{TABLE}")]


def test_a_run_is_wanted_since_it_was_first(database: Database) -> None:
    """However often control begins anew; one that is new, since now."""

    def since(*depths: str) -> dict[str, Any]:
        place = {"replicas": ["cache"] * len(depths), "tables": [TABLE] * len(depths), "depths": list(depths)}
        return {row["depth"]: row["since"] for row in database.rows("scheduled", place)}

    first = since("full")
    both = since("counts", "full")
    assert both["full"] == first["full"] < both["counts"]
    assert since("counts") == {"counts": both["counts"]}


def test_what_control_has_found_and_not_repaired_is_known(materialiser: Materialiser, database: Database) -> None:
    """Of its newest run of a depth, within a day; what was told of later is not of that run."""
    ended, who = now(), {"who": "control (schedule)"}

    def finds(number: int, found: int, ago: timedelta, **more: Any) -> Record:
        detail = signal_of(Report(f"r{number}", TABLE, "cache", "full", count_differs=found, sot_rows=9))["detail"]
        return signal(number, "run-finished", detail | who | more, run=f"r{number}", at=ended - ago)

    def tells(number: int, kind: str, state: str, seconds: int) -> Record:
        seen = ended + timedelta(seconds=seconds)
        about: dict[str, Any] = {"drift": f"d{number}", "kind": kind, "key_bytes": b"%d" % number, "repair": "r"}
        return drift(number, state, first_seen=seen, last_seen=seen, at=seen, **about)

    def found() -> list[tuple[str, int, list[str]]]:
        rows = database.rows("runs_found", who)
        return [(row["run"], row["drift_found"], sorted(row["kinds"])) for row in rows]

    materialiser.apply(SIGNALS, 0, [finds(0, 5, timedelta(hours=25)), finds(1, 2, timedelta(0), who="somebody")])
    assert found() == []
    materialiser.apply(SIGNALS, 0, [finds(2, 2, timedelta(minutes=1)), finds(3, 3, timedelta(0))])
    assert found() == [("r3", 3, [])]
    told = [tells(0, "stale", "open", -1), tells(1, "orphan", "open", -1), tells(1, "orphan", "repairing", -1)]
    told += [tells(2, "missing", "open", -1), tells(2, "missing", "superseded", -1), tells(3, "mismatch", "open", 1)]
    materialiser.apply(DRIFT, 1, [replace(record, offset=number) for number, record in enumerate(told)])
    assert found() == [("r3", 3, ["orphan", "stale"])]
    materialiser.apply(SIGNALS, 0, [finds(4, 0, timedelta(seconds=-1))])
    assert found() == []


def test_what_a_run_did_not_count_is_null(materialiser: Materialiser, database: Database) -> None:
    """It could not look: that is no zero."""
    materialiser.apply(SIGNALS, 0, [signal(0, "run-finished", could_not_look(), run="r2")])
    (run,) = database.rows("newest_runs")
    counts = ("verified", "superseded", "skipped", "failed", "drift_found")
    assert {name: run[name] for name in counts} == dict.fromkeys(counts)
    assert ratio(run) is None


def could_not_look() -> dict[str, str]:
    """The detail of a run that ended before it read anything."""
    detail: dict[str, str] = signal_of(Report("r2", TABLE, "cache", "checksums", reason="held"))["detail"]
    return detail


def test_holds_last_until_they_are_released_or_passed(materialiser: Materialiser, database: Database) -> None:
    """By a signal, or by the group's committed offset moving past the record that held."""
    holds = [signal(n, "table-held", {"reason": "odd", "partition": str(n), "offset": "40"}) for n in range(3)]
    # Said again by the next owner of a partition: it is no other hold.
    again = signal(4, "table-held", {"reason": "odd", "partition": "2", "offset": "40"})
    materialiser.apply(SIGNALS, 0, [*holds, signal(3, "table-released", {"partition": "0"}), again])
    trail = database.rows("audit_range", {"after": 0, "limit": 100})
    assert [entry["what"] for entry in trail] == ["hold", "hold", "hold", "release"]
    assert [hold["partition"] for hold in database.rows("holds")] == [1, 2]
    place = {"replica": "cache", "table": TABLE, "partition": 1}
    assert database.rows("end_passed_hold", {**place, "committed": 40}) == []
    assert database.rows("end_passed_hold", {**place, "committed": 41}) == [{"reason": "odd", "offset": 40}]
    materialiser.apply(SIGNALS, 0, [signal(5, "table-released", {})])
    assert database.rows("holds") == []


def test_a_dead_letter_sent_again_is_the_same_letter(materialiser: Materialiser, database: Database) -> None:
    """A worker that was killed after it published says it once more, under another id."""
    materialiser.apply(LETTERS, 0, [letter(0, 40), letter(1, 40)])
    (row,) = database.rows("show_dead_letter", {"id": "l0"})
    assert (row["times"], row["offset"], row["value_size"], row["header_names"]) == (2, 40, 10, ["h"])
    assert audited(database) == [("dead-letter", "l0")]


def test_the_last_outcome_of_a_repair_counts(materialiser: Materialiser, database: Database) -> None:
    """Each attempt is in the trail."""
    materialiser.apply(REPAIRS, 0, [repaired(0, "failed"), repaired(1, "repaired")])
    assert [what for what, _ in audited(database)] == ["repair", "repair"]
    with database.transaction() as connection:
        rows = connection.execute("SELECT outcome FROM holdtrue.repair_items").fetchall()
    assert rows == [{"outcome": "repaired"}]


LONGEST = random.Random(1).randbytes(2_690)  # does not compress; an index entry holds 2,704 bytes


def test_a_repair_of_the_longest_key_is_taken_in(materialiser: Materialiser, database: Database) -> None:
    """Beside others of its repair, once."""
    long = [repaired(offset, "repaired", key=LONGEST) for offset in (0, 1)]
    assert materialiser.apply(REPAIRS, 0, [*long, repaired(2, "repaired")]).taken == 3
    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM holdtrue.repair_items").fetchone() == {"count": 2}


def test_what_no_index_takes_is_kept_and_stops_nothing(materialiser: Materialiser, database: Database) -> None:
    """It will not be taken the next time either."""
    with database.transaction() as connection:
        connection.execute("CREATE INDEX narrow ON holdtrue.repair_items (drift, key_bytes)")
    done = materialiser.apply(REPAIRS, 0, [repaired(0, "repaired", key=LONGEST), repaired(1, "repaired")])
    assert (done.next_offset, done.taken, done.unreadable) == (2, 1, 1)


def test_what_a_worker_could_not_read_is_kept_once(materialiser: Materialiser, database: Database) -> None:
    """It tells again after a restart."""
    place = {"topic": "holdtrue.checks.cache.public.t", "partition": "2", "offset": "7"}
    told = [signal(number, "record-unreadable", {**place, "error": "not in the wire format"}) for number in (0, 1)]
    materialiser.apply(SIGNALS, 0, told)
    assert database.rows("count_unreadable") == [{"topic": place["topic"], "count": 1}]
    assert audited(database) == [("record.unreadable", f"{place['topic']}/2/7")]


def test_a_record_that_is_not_ours_is_kept_and_stops_nothing(materialiser: Materialiser, database: Database) -> None:
    """Bytes of somebody else on our topic, and a compaction marker."""
    done = materialiser.apply(DRIFT, 0, [Record(0, b"nonsense"), Record(1, None), drift(2, "open")])
    assert (done.next_offset, done.taken, done.unreadable) == (3, 1, 1)
    assert database.rows("count_unreadable") == [{"topic": DRIFT, "count": 1}]
    assert audited(database) == [("drift.open", "d1"), ("record.unreadable", f"{DRIFT}/0/0")]


def test_a_schema_id_that_nobody_knows_is_waited_for_and_then_kept(
    materialiser: Materialiser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one stray record would keep every later drift from being known, and `status` would call that well."""
    stray = Record(0, b"\x00\x0f\xff\xff\xff1234")
    monkeypatch.setattr(materialise, "settings", lambda: SimpleNamespace(unknown_schema_seconds=60))
    with pytest.raises(UnknownSchema):
        materialiser.apply(DRIFT, 0, [stray, drift(1, "open")])
    monkeypatch.setattr(materialise, "settings", lambda: SimpleNamespace(unknown_schema_seconds=0))
    done = materialiser.apply(DRIFT, 0, [stray, drift(1, "open")])
    assert (done.next_offset, done.taken, done.unreadable) == (2, 1, 1)


def test_workers_side_by_side_write_one_chain(plan: Plan, dsn: str, database: Database) -> None:
    """Partitions are taken in by different processes: the trail has every entry once, without gap."""

    def work(partition: int) -> None:
        mine = Database(dsn, application=f"tests {partition}")
        taker = Materialiser(mine, plan, SCHEMAS)
        for n in range(20):
            taker.apply(DRIFT, partition, [drift(n, "open", drift=f"{partition}-{n}")])
        mine.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    entries = list(trail.read(database))
    assert [entry.sequence for entry in entries] == list(range(1, 81))
    assert list(flaws(entries, "database")) == []


def test_migrating_at_once_from_many_processes_makes_one_schema(dsn: str, plan: Plan) -> None:
    """Control workers that start together."""

    def start(_: int) -> int:
        mine = Database(dsn, application="tests")
        version = mine.migrate(plan.name)
        mine.close()
        return version

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(start, range(4))) == {len(migrations())}


def test_the_database_of_another_plan_is_refused(database: Database) -> None:
    """Two plans in one database would mix what they remember."""
    with pytest.raises(ControlRefused, match="belongs to the plan bank"):
        database.migrate("shop")


def test_a_database_of_a_newer_version_is_refused(database: Database, plan: Plan) -> None:
    """An old process must not write into what it does not know."""
    with database.transaction() as connection:
        connection.execute("INSERT INTO holdtrue.meta (version, plan) VALUES (99, 'bank')")
    with pytest.raises(ControlRefused, match="newer"):
        database.migrate(plan.name)


def test_a_database_of_an_older_version_is_not_read_before_control_has_upgraded_it(
    database: Database, plan: Plan
) -> None:
    """What this version asks for is not there yet: that is no matter of rights."""
    database.require_plan(plan.name)
    with database.transaction() as connection:
        connection.execute("DELETE FROM holdtrue.meta WHERE version = (SELECT max(version) FROM holdtrue.meta)")
    with pytest.raises(ControlRefused, match="older than this holdtrue") as caught:
        database.require_plan(plan.name)
    assert "holdtrue worker --control" in caught.value.hint


def test_the_trail_cannot_be_changed_by_a_statement(materialiser: Materialiser, database: Database) -> None:
    """Append-only is also what the database itself enforces."""
    everything(materialiser)
    for statement in (b"UPDATE holdtrue.audit SET why = ''", b"DELETE FROM holdtrue.audit", b"TRUNCATE holdtrue.audit"):
        with pytest.raises(ControlRefused, match="append-only"), database.transaction() as connection:
            connection.execute(statement)


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    """Nothing listens there."""
    with pytest.raises(ControlUnavailable) as caught:
        Database("postgresql://me:hunter2@127.0.0.1:1/control", application="tests").has_schema()
    assert "127.0.0.1:1/control" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_lost_connection_is_opened_again(database: Database, dsn: str) -> None:
    """The server ends the session: the call in hand fails as unavailable, the next one works."""
    pid = database.rows("schema_version") and backend(database)
    with psycopg.connect(dsn) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
    with pytest.raises(ControlUnavailable):
        database.has_schema()
    assert database.has_schema()


def backend(database: Database) -> int:
    """The server process of our session."""
    with database.transaction() as connection:
        return connection.info.backend_pid


def test_every_own_topic_that_is_taken_in_exists(plan: Plan) -> None:
    """`topics apply` makes what control reads."""
    from streams.kafka.topics import topics_of

    made = {topic.name: topic.schema for topic in topics_of(plan)}
    schemas = [schema for schema, _ in HANDLERS.values()]
    assert dict(zip(taken_topics(plan), schemas, strict=True)).items() <= made.items()


def test_a_record_that_the_database_cannot_hold_is_kept_and_stops_nothing(
    materialiser: Materialiser, database: Database
) -> None:
    """A text with U+0000 is Avro like any other; those beside it are taken in."""
    spoiled = drift(1, "open", drift="d2", key={"aid": "\0"})
    done = materialiser.apply(DRIFT, 0, [drift(0, "open"), spoiled, drift(2, "repairing", repair="r1")])
    assert (done.next_offset, done.taken, done.unreadable) == (3, 2, 1)
    assert audited(database) == [("drift.open", "d1"), ("drift.repairing", "d1"), ("record.unreadable", f"{DRIFT}/0/1")]


@pytest.mark.parametrize(
    ("ended", "validated", "followed"),
    [(["", ""], False, True), (["", ""], True, False), ([""], False, True), (["held", ""], False, False)],
    ids=["nobody has validated it", "it is over", "a partition is at work", "one has given up"],
)
def test_a_backfill_given_again_follows_what_is_not_over(
    materialiser: Materialiser, database: Database, ended: list[str], validated: bool, followed: bool
) -> None:
    """Of the same range; a command that did not wait, or was killed, is followed by the next one to its validation."""
    order = {"backfill": "b1", "scope": "s", "range": "all", "rows": "5", "partitions": "2"}
    parts = [("backfill-ended", {"backfill": "b1", "partition": str(n), "reason": why}) for n, why in enumerate(ended)]
    steps = [("backfill-ordered", order), *parts]
    if validated:
        steps.append(("backfill-validated", {"backfill": "b1", "outcome": "correct"}))
    materialiser.apply(SIGNALS, 0, [signal(n, *step, at=now()) for n, step in enumerate(steps)])
    place = {"replica": "cache", "table": TABLE, "scope": "s"}
    assert [row["backfill"] for row in database.rows("open_backfill", place)] == (["b1"] if followed else [])
    assert database.rows("open_backfill", place | {"scope": "another"}) == []
