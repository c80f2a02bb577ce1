"""What `bench detect` can be asked for. No driver is imported here: the command line shows these words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

LAG_SECONDS_MAX: Final = 5
# A fault is missed when it was not found after so many periods of the scrub and these seconds.
PERIODS_MAX: Final = 2
BEYOND_SECONDS: Final = 30.0
# Every kind that can be repaired without being asked.
KINDS: Final = ("missing", "orphan", "stale", "mismatch")


class Class(StrEnum):
    """What kind of key a fault is planted in, and so which check has to find it.

    just_written: the load has just written it. scrubbed: nobody writes it. replica_log: nobody writes it, and the
    replica's log is followed.
    """

    just_written = "just_written"
    scrubbed = "scrubbed"
    replica_log = "replica_log"


# Classes that are planted alone, and why.
ALONE: Final[Mapping[Class, str]] = {
    Class.replica_log: "who follows the log would find the other classes' faults, too: ask for it alone"
}


class Checks(StrEnum):
    """Who looks for drift. scrub: the worker, continuously. runs: `validate`, again and again. off: nobody."""

    scrub = "scrub"
    runs = "runs"
    off = "off"


class Repair(StrEnum):
    """Who repairs. automatic: the worker, as the plan says. ordered: `repair plan` and `apply`. none: nobody."""

    automatic = "automatic"
    ordered = "ordered"
    none = "none"


def bounds(keys: int, automatic: Sequence[str] = ()) -> dict[str, Any]:
    """What a plan says of freshness, repairs and records of drift where so many keys are wrong at once."""
    above = min(100_000, max(1_000, keys))
    return {
        "consistency": {"kind": "eventual", "lag": f"{LAG_SECONDS_MAX}s"},
        "repair": {"automatic": list(automatic), "stop_above": above},
        "drift": {"flood_above": above},
    }


def spread(rows: int, many: int) -> range:
    """So many keys of the first `rows`, all over them; fewer where there are not so many."""
    step = max(1, rows // many)
    return range(step, min(rows, step * many) + 1, step)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for. planted: faults of each class. false_alarms: reports for nothing, to check the benchmark."""

    rows: int
    changes_per_second: int
    seconds: int
    scrub_period: int
    planted: int
    classes: tuple[Class, ...]
    checks: Checks = Checks.scrub
    repair: Repair = Repair.automatic
    false_alarms: int = 0
    seed: int = 1

    @property
    def follows_log(self) -> bool:
        """Whether the plan has the replica's own log followed."""
        return self.checks is Checks.scrub and Class.replica_log in self.classes

    @property
    def left_out(self) -> dict[str, str]:
        """Known classes of which nothing is planted, because they are only alone; and why."""
        return {str(name): why for name, why in ALONE.items() if name not in self.classes}

    @property
    def cold(self) -> range:
        """Rows that the load never touches: twice as many as faults need, and those of the false alarms."""
        return spread(self.rows, 2 * self.planted + self.false_alarms)

    @property
    def spoiled(self) -> range:
        """Those of them for faults."""
        return self.cold[: 2 * self.planted]

    @property
    def alarmed(self) -> range:
        """Those of the false alarms."""
        return self.cold[2 * self.planted :]

    @property
    def patience_seconds(self) -> float:
        """How much longer than its time a run may wait for what was planted; where nobody looks, nothing will come."""
        return 0.0 if self.checks is Checks.off else PERIODS_MAX * self.scrub_period + BEYOND_SECONDS

    @property
    def decisions(self) -> dict[str, Any]:
        """What the plan says of the table. No scheduled run falls into the benchmark."""
        validation: dict[str, Any] = {"depths": ["checksums"], "every": "7d"}
        if self.checks is Checks.scrub:
            validation["scrub_period"] = f"{self.scrub_period}s"
            validation["replica_log"] = self.follows_log
        automatic = list(KINDS) if self.repair is Repair.automatic else []
        return {"validation": validation, **bounds(10 * self.planted, automatic)}
