"""The report of a run, for whoever audits it: what was checked, what was found, what came of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from streams.checks.sight import sight
from streams.control.dossier import DRIFT_MAX, HOLDS_MAX, REPAIRS_MAX, Dossier, Hold
from streams.control.view import shown_key
from streams.reports.blocks import Block, Chart, Document, Facts, Heading, Paragraph, Point, Points, Table
from streams.reports.figures import shown

# Rows of the table beside the charts; neighbours are joined, each row with the worst of them.
FIGURES_MAX: Final = 60
NOT_RECORDED: Final = "not recorded"
_COVERAGE: Final = (
    ("verified", "verified: looked at, and right"),
    ("absent", "absent: gone from the store, which the plan allows"),
    ("superseded", "superseded: changed in every round"),
    ("skipped", "skipped: an answer had no room to name them"),
    ("failed", "failed: not decided"),
    ("drift_found", "in drift"),
)
_UNCHECKED: Final = ("superseded", "skipped", "failed")
_VERDICTS: Final = {
    "correct": "Everything that a run of this depth looks at was looked at, and is right.",
    "drifted": "Drift was found: the replica is not what the source says it should be.",
    "incomplete": "The run could not check all that it should have: it proves neither that the replica is right, nor "
    "that it is wrong.",
}


def run_report(found: Dossier, bound_seconds: float | None) -> Document:
    """The whole report. bound_seconds: the plan's bound on the lag by now; None where it has none."""
    run = found.run
    parts = (_checked, _outcome, _seen, _drift, _repairs, _holds, _verified)
    blocks = [block for part in parts for block in part(found)]
    blocks += [*_around(found, bound_seconds), *_trail(found)]
    return Document(f"Validation of {run['table']} in {run['replica']}: {run['outcome']}", blocks)


def _checked(found: Dossier) -> Iterator[Block]:
    run = found.run
    yield Paragraph(_VERDICTS[run["outcome"]])
    if run["outcome"] == "drifted" and (run["error"] or any(run[name] for name in _UNCHECKED)):
        yield Paragraph("Besides, not every key could be checked: there may be more.")
    yield Heading("What was checked")
    named = ("plan_hash", "owner", "approver", "who")
    said = {name: run[name] or NOT_RECORDED for name in named}
    yield Facts(
        [
            ("run", run["run"]),
            ("plan", found.plan),
            ("sha256 of the plan's file", said["plan_hash"]),
            ("owner, in that plan", said["owner"]),
            ("approver, in that plan", said["approver"]),
            ("table", run["table"]),
            ("replica", run["replica"]),
            ("depth", run["depth"]),
            ("scope", run["scope"]),
            ("fence", run["fence_lsn"] or "none was passed"),
            ("asked by", said["who"]),
            ("begun", shown(run["started"])),
            ("ended", shown(run["finished"])),
            ("took", f"{shown(run['seconds'])} s"),
        ]
    )
    if run["fence_lsn"]:
        yield Paragraph(
            "The fence is a position in the source's log: all that was committed before it had been applied."
        )


def _outcome(found: Dossier) -> Iterator[Block]:
    run = found.run
    yield Heading("Outcome and coverage")
    if run["error"]:
        yield Paragraph(f"Why it was not completed: {run['error']}")
    if run["verified"] is None:
        yield Paragraph("The source was not read, so no key was counted: that is not 0.")
    rows = [("rows in the source", run["sot_rows"]), ("rows in the replica", run["replica_rows"])]
    rows += [(words, run[name]) for name, words in _COVERAGE]
    yield Table("Keys, by what became of them", ("", "keys"), [(name, shown(value)) for name, value in rows], {1})


def _seen(found: Dossier) -> Iterator[Block]:
    sees, cannot_see = sight(found.run["depth"])
    yield Heading(f"What a run of depth {found.run['depth']} sees")
    if sees:
        yield Points(sees)
    yield Paragraph("It cannot see:")
    yield Points(cannot_see)


def _drift(found: Dossier) -> Iterator[Block]:
    yield Heading("Drift that it found, as it is now")
    reported = found.run["drift_found"]
    if not reported and not found.recorded:
        yield Paragraph("None." if reported == 0 else "None is known: the run could not look.")
    if (unnamed := (reported or 0) - found.recorded) > 0:
        yield Paragraph(
            f"Of {shown(unnamed)} of the {shown(reported)} in drift there is no record: a run that counts rows knows "
            "no keys, and records that control has not taken in yet are not here."
        )
    if found.recorded:
        rows = [(row["kind"], row["cause"], row["state"], shown(row["count"])) for row in found.counts]
        yield Table(f"All {shown(found.recorded)}, counted", ("kind", "cause", "state", "keys"), rows, {3})
        yield Table(_caption("Records", len(found.drift), found.records, DRIFT_MAX), *_named(found.drift))
    for state, count in found.ended.items():
        yield Paragraph(f"{shown(count)} that were open before were found right: they are {state}.")


def _named(rows: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], list[list[str]], frozenset[int]]:
    columns = ("drift", "key", "keys", "kind", "cause", "state", "first seen", "times", "columns", "repair")
    listed = [
        [
            row["id"], _key(row), shown(row["keys"]), row["kind"], row["cause"], row["state"], shown(row["first_seen"]),
            shown(row["times_seen"]), ", ".join(row["columns"]), row["repair"] or "-",
        ]
        for row in rows
    ]  # fmt: skip
    return columns, listed, frozenset({2, 7})


def _key(row: Mapping[str, Any]) -> str:
    """As the records have it: where the plan hides keys, their HMAC."""
    key = shown_key(row)
    return ", ".join(f"{name}={text}" for name, text in key.items()) if isinstance(key, Mapping) else key or "-"


def _caption(what: str, shown_count: int, count: int, most: int) -> str:
    return what if shown_count == count else f"The first {shown(most)} of {shown(count)} {what.lower()}"


def _repairs(found: Dossier) -> Iterator[Block]:
    yield Heading("Repairs that followed")
    if not found.repairs:
        none = "None of the drift above has been repaired since." if found.recorded else "There was nothing to repair."
        yield Paragraph(none)
        return
    rows = [
        [row["repair"], shown(row["first"]), shown(row["last"]), shown(row["keys"]), shown(row["repaired"]),
         row["ordered_by"] or NOT_RECORDED, row["reason"] or "-"]
        for row in found.repairs
    ]  # fmt: skip
    columns = ("repair", "first answer", "last answer", "keys", "repaired", "ordered by", "reason given")
    caption = _caption("Repairs", len(found.repairs), found.repair_count, REPAIRS_MAX)
    yield Table(f"{caption}, of keys above", columns, rows, {3, 4})
    states = Counter[str]()
    for row in found.counts:
        states[row["state"]] += row["count"]
    now = ", ".join(f"{shown(count)} {state}" for state, count in sorted(states.items()))
    yield Paragraph(f"Of the drift above are by now: {now}. A key is resolved only after it was checked again.")


def _holds(found: Dossier) -> Iterator[Block]:
    yield Heading("Holds during the run")
    if not found.holds:
        yield Paragraph("Nothing was held.")
    else:
        columns = ("partition", "since", "until", "who", "reason")
        yield Table("While held, nothing is applied", columns, [_hold(hold) for hold in found.holds])
    if found.holds_cut:
        yield Paragraph(f"Only the newest {shown(HOLDS_MAX)} entries about holds before the run's end were looked at.")


def _hold(hold: Hold) -> list[str]:
    partition = "all" if hold.partition is None else str(hold.partition)
    return [partition, shown(hold.since), shown(hold.until) if hold.until else "after the run", hold.who, hold.why]


def _verified(found: Dossier) -> Iterator[Block]:
    run, mark = found.run, found.mark
    yield Heading("Verified through")
    if run["verified_through"] is None:
        yield Paragraph("This run did not move the mark: only a correct run of every key's content does.")
    else:
        at = shown(run["verified_through_at"] or run["finished"])
        yield Paragraph(f"This run moved the mark to {run['verified_through']}, as of {at}.")
    if mark is None:
        yield Paragraph("No run has verified this table in this replica yet.")
    else:
        yield Paragraph(f"By now the mark is at {mark['position']}, as of {shown(mark['at'])}.")


def _around(found: Dossier, bound_seconds: float | None) -> Iterator[Block]:
    minutes, first, last, rows = found.samples
    yield Heading("Lag and open drift around the run")
    if not rows:
        yield Paragraph("There are no samples of this time: control did not run, or they are too old to be kept.")
        return
    step = "minute" if minutes == 1 else "hour"
    yield Paragraph(f"Each value is the worst that control saw within one {step}. The marked time is the run's.")
    run = found.run
    common = (first, last, minutes * 60.0, (run["started"], run["finished"]), "the run")
    lag = [Point(row["at"], row["lag_seconds"]) for row in rows]
    bound = None if bound_seconds is None else f"bound {shown(bound_seconds)} s"
    yield Chart("Lag", "seconds", lag, *common, bound_seconds, bound or "")
    drift = [Point(row["at"], float(row["drift_open"])) for row in rows]
    yield Chart("Open drift", "keys", drift, *common)
    size = -(-len(rows) // FIGURES_MAX)
    joined = [_worst(rows[start : start + size]) for start in range(0, len(rows), size)]
    columns = ("from", "lag in seconds", "records not applied", "drift open", "held")
    yield Table("The figures", columns, joined, {1, 2, 3})
    if bound_seconds is not None:
        yield Paragraph(f"The bound on the lag, {shown(bound_seconds)} s, is that of the plan as it is now.")


def _worst(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    def worst(name: str) -> str:
        return shown(max((row[name] for row in rows if row[name] is not None), default=None))

    held = any(row["held"] for row in rows)
    return [shown(rows[0]["at"]), worst("lag_seconds"), worst("lag_events"), worst("drift_open"), shown(held)]


def _trail(found: Dossier) -> Iterator[Block]:
    yield Heading("Audit trail")
    entry, tail = found.entry, found.tail
    facts = []
    if entry is None:
        yield Paragraph("The trail of this database has no entry of this run's signal.")
    else:
        facts += [("entry of this run", shown(entry["sequence"])), ("its hash", bytes(entry["hash"]).hex())]
    if tail is not None:
        facts += [("newest entry when this was written", shown(tail["sequence"]))]
        facts += [("its hash", bytes(tail["hash"]).hex())]
    if facts:
        yield Facts(facts)
    yield Paragraph(
        "Each entry's hash covers the one before it: holdtrue audit verify computes them anew and compares them with "
        "the audit topic. What is said here of drift, repairs and marks is what the control database had when this "
        "was written."
    )
