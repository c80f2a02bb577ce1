"""The story, step by step. It ends well only if all of it held."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from streams.demo.bank import KEYED_CHANGES_PER_TRANSACTION, KEYS, Bank, Load
from streams.demo.command import CommandLine
from streams.demo.plant import Planted, plant
from streams.figures import Lags, difference, lags, merged, quantile, total
from streams.local.endpoints import Endpoints

# One row in three tables: about 2,000 keyed changes a second.
TRANSACTIONS_PER_SECOND = 667
CHANGES_PER_SECOND = TRANSACTIONS_PER_SECOND * KEYED_CHANGES_PER_TRANSACTION
SNAPSHOT_SECONDS = 240.0
# DynamoDB Local is slow by itself; its lag says nothing about holdtrue.
TIMED_REPLICAS = ("reports", "cache")
KINDS = {"reports": "postgres", "lookup": "dynamodb", "cache": "redis"}

Say = Callable[[str], None]


@dataclass(slots=True)
class Told:
    """What the story found, in the fields of the interface document."""

    runs: list[Mapping[str, Any]] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)
    found: int = 0
    false_positives: int = 0
    repaired: int = 0
    resolved: int = 0
    changes: int = 0
    snapshot_rate: float = 0.0
    changes_rate: float = 0.0
    lag_p50: float = 0.0
    lag_p99: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all of it held."""
        return not self.wrong

    def document(self) -> dict[str, Any]:
        """The JSON of the interface document; `wrong` says what did not hold."""
        replicas = [
            {"name": name, "kind": kind, "tables": [run for run in self.runs if run["replica"] == name]}
            for name, kind in KINDS.items()
        ]
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "changes": self.changes,
            "replicas": replicas,
            "drift": {
                "planted": len(self.planted),
                "found": self.found,
                "false_positives": self.false_positives,
                "repaired": self.repaired,
                "resolved": self.resolved,
            },
            "rates": {
                "snapshot_rows_per_second": round(self.snapshot_rate),
                "changes_per_second": round(self.changes_rate),
                "lag_seconds_p50": round(self.lag_p50, 3),
                "lag_seconds_p99": round(self.lag_p99, 3),
            },
            "wrong": self.wrong,
        }


class Story:
    """Tells the story on a running stack."""

    def __init__(self, line: CommandLine, endpoints: Endpoints, bank: Bank, say: Say, load_seconds: int, told: Told
    ) -> None:  # fmt: skip
        self._line = line
        self._endpoints = endpoints
        self._bank = bank
        self._say = say
        self._load_seconds = load_seconds
        self.told = told

    def tell(self) -> None:
        """All of it, into `told`. Raises HoldtrueError when a step cannot be taken at all."""
        started = time.monotonic()
        load: Load | None = None
        try:
            self._prepare()
            self._catch_up()
            load, before = self._begin_load()
            self._validate_under_load(load)
            if ended := load.lasted >= load.seconds:
                self._end_load(load, before)
            self._plant_and_find()
            self._repair()
            if not ended:
                self._end_load(load, before)
            self._validate_again()
        finally:
            if load is not None:
                load.stop()
            self._line.stop_workers()
            self.told.seconds = time.monotonic() - started

    def _prepare(self) -> None:
        self._say(f"A bank of {100_000 * self._bank.scale:,} accounts in the source of truth (pgbench -i).")
        self._bank.create()
        self._refuse_history()
        for words in (("plan", "check"), ("topics", "apply"), ("schemas", "register")):
            self._line.run(*words)

    def _refuse_history(self) -> None:
        """A table without a key cannot be kept in step; the plan check says so, and what to do."""
        text = self._line.plan.read_text(encoding="utf-8")
        listed = text.replace("tables:\n", "tables:\n  public.pgbench_history: {key: [tid]}\n", 1)
        plan = self._line.folder / "with-history.yaml"
        plan.write_text(listed, encoding="utf-8")
        answer = self._line.run("plan", "check", "--live", str(plan), expected=(2,))
        about = [finding for finding in answer["findings"] if "pgbench_history" in finding["path"]]
        if not about:
            self.told.wrong.append("plan check --live did not refuse pgbench_history")
        for finding in about:
            self._say(f"  refused: {finding['message']}")

    def _catch_up(self) -> None:
        """Workers and connector start together; the snapshot goes through the same path as every change."""
        line = self._line
        line.start_worker("control", "--control")
        for name in KINDS:
            line.start_worker(name, "--replica", name)
        started = time.monotonic()
        line.run("connectors", "apply")
        rows = {"reports": self._rows(), "cache": self._rows(), "lookup": 100_000 * self._bank.scale}
        for name, wanted in rows.items():
            line.wait_for(f"the snapshot in {name}", partial(self._has_handled, name, wanted), SNAPSHOT_SECONDS)

            if name in TIMED_REPLICAS:
                self.told.snapshot_rate = self._rows() / (time.monotonic() - started)
            self._say(f"  {name} holds the snapshot after {time.monotonic() - started:.1f} s")

    def _rows(self) -> int:
        return 100_011 * self._bank.scale

    def _has_handled(self, name: str, records: int) -> bool:
        try:
            return total(lags(self._line.workers[name].metrics_port)) >= records
        except OSError:
            return False  # it does not serve its metrics yet; whether it has ended is looked at elsewhere

    def _begin_load(self) -> tuple[Load, Lags]:
        wanted = f"about {CHANGES_PER_SECOND:,} keyed changes a second, for {self._load_seconds} s or more"
        self._say(f"Load: pgbench's TPC-B transaction, {wanted}.")
        before = self._lags()
        return self._bank.load(self._line.folder, self._load_seconds, TRANSACTIONS_PER_SECOND), before

    def _lags(self) -> Lags:
        return merged(lags(self._line.workers[name].metrics_port) for name in TIMED_REPLICAS)

    def _validate_under_load(self, load: Load) -> None:
        self._say("Full validation while the load runs.")
        runs = self._line.run("validate", expected=(0, 3))["results"]
        if not load.running:
            self.told.wrong.append(f"the load ended before the validation under it: see {load.log}")
        self.told.false_positives += sum(run["drift_found"] or 0 for run in runs)
        self._expect_correct(runs, "under load")

    def _plant_and_find(self) -> None:
        planted = self.told.planted = plant(self._endpoints)
        self._say(f"Drift planted straight into the stores: {len(planted)} rows changed, removed or added.")
        self._line.run("validate", expected=(3,))
        listed = self._open_drift(len(planted))
        found = {_place(drift) for drift in listed}
        wanted = set(planted)
        self.told.found = len(found & wanted)
        self.told.false_positives += len(found - wanted)
        if wanted - found:
            self.told.wrong.append(f"not found: {sorted(wanted - found)}")

    def _open_drift(self, expected: int) -> Sequence[Mapping[str, Any]]:
        """What control has taken in of the drift topic; it follows within moments."""
        listed: Sequence[Mapping[str, Any]] = []

        def arrived() -> bool:
            nonlocal listed
            listed = self._line.run("drift", "list", "--state", "open")["drift"]
            return len(listed) >= expected

        self._line.wait_for(f"{expected} open drifts on the drift topic", arrived, 30.0)
        return listed

    def _repair(self) -> None:
        self._say("Repair: a dry run into a file, then that file, key by key, by the owners; checked again after it.")
        file = str(self._line.folder / "repair.json")
        self._line.run("repair", "plan", "--file", file)
        done = self._line.run("repair", "apply", file, "--reason", "planted by the demo", expected=(0, 3))["repairs"]
        self.told.repaired = sum(pair["repaired"] for pair in done)
        self.told.resolved = sum(pair["resolved"] + pair["unchanged"] for pair in done)
        if self.told.resolved != len(self.told.planted):
            self.told.wrong.append(f"only {self.told.resolved} of {len(self.told.planted)} repairs were proven right")

    def _end_load(self, load: Load, before: Lags) -> None:
        self.told.changes, seconds = load.end()
        lag = difference(before, self._lags())
        self.told.changes_rate = self.told.changes / seconds
        if self.told.changes_rate < 0.9 * CHANGES_PER_SECOND:
            self._say(
                f"  (this machine has made {self.told.changes_rate:,.0f} changes a second, not what was asked for)"
            )
        self.told.lag_p50, self.told.lag_p99 = quantile(lag, 0.5), quantile(lag, 0.99)
        self._say(f"  {self.told.changes:,} changes in {seconds:.0f} s, lag p99 {self.told.lag_p99:.2f} s")

    def _validate_again(self) -> None:
        self._say("Second validation.")
        self.told.runs = self._line.run("validate", expected=(0, 3))["results"]
        self.told.false_positives += sum(run["drift_found"] or 0 for run in self.told.runs)
        self._expect_correct(self.told.runs, "after the repair")
        if self.told.false_positives:
            self.told.wrong.append(f"{self.told.false_positives} keys were reported that were right")

    def _expect_correct(self, runs: Sequence[Mapping[str, Any]], when: str) -> None:
        for run in runs:
            if run["outcome"] != "correct":
                reason = f": {run['reason']}" if run.get("reason") else ""
                self.told.wrong.append(f"{run['table']} in {run['replica']} was {run['outcome']} {when}{reason}")


def _place(drift: Mapping[str, Any]) -> Planted:
    column = KEYS[drift["table"].removeprefix("public.")]
    return Planted(drift["replica"], drift["table"], drift["key"][column], drift["kind"])


def demo_plan(folder: Path) -> Path:
    """The example plan, copied where the demo works."""
    from importlib.resources import files

    text = (files("streams.demo") / "consistency.yaml").read_text(encoding="utf-8")
    path = folder / "consistency.yaml"
    path.write_text(text, encoding="utf-8")
    return path
