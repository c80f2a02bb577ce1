"""`python -m tests.simulation --seeds N`: live through many histories; the first that fails is told in few words."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from tests.simulation import faults
from tests.simulation.run import explain, of_seed, run_seeds, simulate, story

BLOCK = 50


def _block(seeds: range) -> tuple[Counter[str], int | None]:
    return run_seeds(seeds)


def _table(counts: Counter[str]) -> str:
    """The faults, and what followed from them, by how often."""
    listed = [(name, counts[name], "fault" if kind.fault else "") for name, kind in faults.EVENTS.items()]
    others = [(name, count, "seen") for name, count in sorted(counts.items()) if name not in faults.EVENTS]
    return "\n".join(f"{count:>10}  {name}{f' ({what})' if what else ''}" for name, count, what in listed + others)


def main() -> int:
    """0 when no history failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--tell", type=int, metavar="SEED", help="tell one seed's history, whole if it does not fail")
    options = parser.parse_args()
    if options.tell is not None:
        world, violation = simulate(of_seed(options.tell))
        print(story(world) if violation is None else explain(options.tell).story)
        return int(violation is not None)
    started = time.monotonic()
    end = options.start + options.seeds
    blocks = (range(at, min(at + BLOCK, end)) for at in range(options.start, end, BLOCK))
    counts: Counter[str] = Counter()
    failing: list[int] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        # A few blocks at a time: nothing more is begun once a seed has failed.
        while not failing and (some := list(islice(blocks, options.jobs * 4))):
            for counted, failed in pool.map(_block, some):
                counts += counted
                failing += [] if failed is None else [failed]
    print(_table(counts))
    print(f"{counts['histories']} histories in {time.monotonic() - started:.0f} s, failing seeds: {failing or 'none'}")
    if failing:
        print(explain(min(failing)).story)
    return bool(failing)


if __name__ == "__main__":
    sys.exit(main())
