"""Running seeds: one, many, and making a failing one readable."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.simulation import faults
from tests.simulation.events import BACKFILLS, HOLDS, LOSSES, OF_OTHERS
from tests.simulation.history import (
    EVENTS_MIN,
    History,
    has_backfills,
    has_breaks,
    has_holds,
    has_losses,
    has_truncates,
    history,
    mode_of,
    shrunk,
)
from tests.simulation.invariants import Violation
from tests.simulation.world import World

# How many smaller histories are tried to make a failing one readable.
SMALLER_MAX = 300


@dataclass(frozen=True)
class Failure:
    """A history that broke a promise."""

    history: History
    reason: str
    story: str


def simulate(what: History) -> tuple[World, Violation | None]:
    """Live through a history; the world it left, and what was violated."""
    world = World(what)
    try:
        with _unsaid():
            world.run()
    except Violation as violation:
        return world, violation
    return world, None


@contextmanager
def _unsaid() -> Iterator[None]:
    """Without what workers would log of what happens to them: a million lines."""
    logger = logging.getLogger("streams")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def of_seed(seed: int) -> History:
    """The history of a seed."""
    truncates, breaks, losses, holds = (has(seed) for has in (has_truncates, has_breaks, has_losses, has_holds))
    backfills = has_backfills(seed)
    mode = mode_of(seed)
    weights = faults.weights(
        truncates=truncates, breaks=breaks, losses=losses, holds=holds, backfills=backfills, mode=mode
    )
    always = (
        *(LOSSES if losses else ()), *(HOLDS if holds else ()), *(BACKFILLS if backfills else ()),
        *OF_OTHERS.get(mode, ()),
    )  # fmt: skip
    return history(seed, weights, always)


def run_seeds(seeds: Iterable[int]) -> tuple[Counter[str], int | None]:
    """Run seeds until one fails; what happened how often, and the failing one."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        world, violation = simulate(of_seed(seed))
        counts += world.counts
        counts["histories"] += 1
        if violation is not None:
            return counts, seed
        assert world.counts["events"] >= EVENTS_MIN, f"seed {seed} has only {world.counts['events']} events"
    return counts, None


def explain(seed: int) -> Failure:
    """The smallest history found that fails as this seed does."""
    whole = of_seed(seed)
    _, first = simulate(whole)
    if first is None:
        raise ValueError(f"seed {seed} does not fail")
    promise = first.promise

    def fails(candidate: History) -> bool:
        violation = simulate(candidate)[1]
        return violation is not None and violation.promise == promise

    small = shrunk(whole, fails, SMALLER_MAX)
    world, violation = simulate(small)
    return Failure(small, str(violation), story(world))


def story(world: World) -> str:
    """What happened, for a reader."""
    settings = world.settings
    head = (
        f"seed {world.history.seed}: {settings.keys} keys, {settings.partitions} partitions, "
        f"{settings.workers} workers, {len(world.history.events)} events"
    )
    return "\n".join([head, *(f"{at:8.3f}  {text % args}" for at, text, args in world.trace)])
