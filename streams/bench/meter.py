"""What a worker did between two moments: its own metrics, and what the kernel says of its process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from streams import figures
from streams.bench.process import cpu_seconds, memory_bytes_max
from streams.bench.scene import Scene

SCRUB_AGE: Final = "holdtrue_scrub_age_seconds"
LOOK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Of the worker, over `seconds`. lag_seconds_max: an upper bound. late: changes beyond the lag of the plan.

    scrub_age_seconds_max: the longest that a key can have gone without being visited.
    """

    seconds: float
    applied: float
    lag_seconds_p50: float
    lag_seconds_p99: float
    lag_seconds_max: float
    late: float
    cpu_share: float
    memory_bytes_max: int
    counted: Mapping[str, float] = field(default_factory=dict)
    scrub_age_seconds_max: float | None = None

    def per_second(self, counter: str) -> float | None:
        """The rate of one of the worker's counters, by its name in /metrics; None where it has none."""
        return None if counter not in self.counted else self.counted[counter] / self.seconds


class Meter:
    """Reads at its making, and when it is asked."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._age_max: float | None = None
        self._looked = 0.0
        self._at = time.monotonic()
        self._cpu = cpu_seconds(scene.worker.pid)
        self._lags = figures.lags(scene.metrics_port)
        self._counted = figures.counters(scene.metrics_port)

    def look(self) -> None:
        """See how far the scrub is; to be called often."""
        if (now := time.monotonic()) - self._looked >= LOOK_SECONDS:
            self._looked = now
            if (age := figures.counters(self._scene.metrics_port).get(SCRUB_AGE)) is not None:
                self._age_max = max(age, self._age_max or 0.0)

    def read(self, lag_seconds_max: float) -> Measured:
        """Since the beginning."""
        scene, seconds = self._scene, time.monotonic() - self._at
        lags = figures.difference(self._lags, figures.lags(scene.metrics_port))
        counted = figures.counters(scene.metrics_port)
        return Measured(
            seconds=seconds,
            applied=figures.total(lags),
            lag_seconds_p50=figures.quantile(lags, 0.5),
            lag_seconds_p99=figures.quantile(lags, 0.99),
            lag_seconds_max=min((bound for bound, many in lags.items() if many >= figures.total(lags)), default=0.0),
            late=figures.total(lags) - lags.get(float(lag_seconds_max), 0.0),
            cpu_share=(cpu_seconds(scene.worker.pid) - self._cpu) / seconds,
            memory_bytes_max=memory_bytes_max(scene.worker.pid),
            counted={name: value - self._counted.get(name, 0.0) for name, value in counted.items()},
            scrub_age_seconds_max=self._age_max,
        )
