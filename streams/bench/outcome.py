"""From the account of a `bench detect` to its figures, and to what did not hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from streams.bench.judge import SHOWN_MAX, Judge
from streams.bench.ledger import Ledger, Planted
from streams.bench.meter import Measured
from streams.bench.report import rounded

CHECK_SECONDS: Final = "holdtrue_check_seconds_total"
KEYS_CHECKED: Final = "holdtrue_keys_checked_total"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. differing: keys that are not equal in the end although no planted drift of theirs is open."""

    ledger: Ledger
    judge: Judge
    measured: Measured
    changes_per_second: float
    differing: Sequence[int]

    def wrong(self) -> Iterator[str]:
        """What did not hold, a sentence each; nothing where all was found and nothing was reported for nothing."""
        judge, ledger = self.judge, self.ledger
        if missed := list(ledger.unfound()):
            yield f"{len(missed)} faults were not found: {named(fault.key for fault in missed)}"
        if judge.false_positives:
            yield f"{judge.false_positives} keys were reported that were right"
        if judge.real:
            yield f"{judge.real} keys were wrong although nothing was planted there"
        if (unseen := ledger.stray - judge.false_positives - judge.real) > 0:
            yield f"{unseen} further reports without a fault were not looked at"
        if self.differing:
            yield f"{len(self.differing)} keys differ in the end, and nothing says so: {named(self.differing)}"

    def document(self, classes: Sequence[str]) -> dict[str, Any]:
        """The JSON of the interface document, and more."""
        faults, measured = self.ledger.faults(), self.measured
        return {
            "ok": not (wrong := list(self.wrong())),
            "wrong": wrong,
            "changes_per_second": rounded(self.changes_per_second),
            "false_positives": self.judge.false_positives,
            "opened_again": self.ledger.opened_again,
            "unplanted": self.judge.real,
            "differing": len(self.differing),
            "classes": {each: counted([fault for fault in faults if fault.kind == each]) for each in classes},
            "faults": {each: _shares(faults, each) for each in sorted({fault.fault for fault in faults})},
            "lag_seconds_p50": rounded(measured.lag_seconds_p50),
            "lag_seconds_p99": rounded(measured.lag_seconds_p99),
            "worker_cpu_share": rounded(measured.cpu_share),
            "worker_memory_bytes_max": measured.memory_bytes_max,
            "checking_share": _rounded(measured.per_second(CHECK_SECONDS)),
            "keys_checked_per_second": _rounded(measured.per_second(KEYS_CHECKED)),
            "scrub_age_seconds_max": _rounded(measured.scrub_age_seconds_max),
            "cases": self.judge.cases,
        }


def counted(faults: Sequence[Planted]) -> dict[str, Any]:
    """The figures of one class. superseded: right again before anybody told, so neither found nor missed."""
    detection = [fault.detection_seconds for fault in faults if fault.detection_seconds is not None]
    heard = [fault.heard_seconds for fault in faults if fault.heard_seconds is not None]
    ended = [fault.ended_seconds for fault in faults if fault.ended_seconds is not None]
    superseded = sum(fault.healed for fault in faults)
    return {
        "planted": len(faults),
        "found": len(detection),
        "superseded": superseded,
        "missed": len(faults) - len(detection) - superseded,
        "detection_seconds_p50": quantile(detection, 0.5),
        "detection_seconds_p99": quantile(detection, 0.99),
        "detection_seconds_max": quantile(detection, 1.0),
        "heard_seconds_p99": quantile(heard, 0.99),
        "resolved": len(ended),
        "resolved_seconds_p50": quantile(ended, 0.5),
        "resolved_seconds_p99": quantile(ended, 0.99),
    }


def quantile(values: Iterable[float], share: float) -> float | None:
    """The smallest of these that `share` of them do not exceed; None of none."""
    ordered = sorted(values)
    return rounded(ordered[max(1, ceil(share * len(ordered))) - 1]) if ordered else None


def _shares(faults: Sequence[Planted], name: str) -> dict[str, Any]:
    mine = [fault for fault in faults if fault.fault == name]
    detection = [fault.detection_seconds for fault in mine if fault.detection_seconds is not None]
    return {"planted": len(mine), "found": len(detection), "detection_seconds_p50": quantile(detection, 0.5)}


def named(keys: Iterable[int]) -> str:
    """The first of them, and how many more there are."""
    listed = sorted(keys)
    more = f" and {len(listed) - SHOWN_MAX} more" if len(listed) > SHOWN_MAX else ""
    return ", ".join(str(key) for key in listed[:SHOWN_MAX]) + more


def _rounded(value: float | None) -> float | int | None:
    return None if value is None else rounded(value)
