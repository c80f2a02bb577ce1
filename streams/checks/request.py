"""What an owner can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

# As long as a run may take, and with it whatever reads a whole table for it, or waits its turn among its requests.
RUN_SECONDS_MAX: Final = 6 * 3600
# How long an order may wait for its owner; a topic that forgets it before has forgotten changes, too.
ORDER_WITHIN: Final = timedelta(days=365)


class Depth(StrEnum):
    """Kinds of check requests, as the `depth` of a request names them.

    counts: how many live rows the partition must hold. checksums: compare the named keys, and all between the bounds,
    with the SOT's digests and the replica's content. sweep: the replica holds these keys; which must it not hold.
    watch: keep every digest these keys have from now on. release: the run is over, forget its watch. truncate: rows of
    records before `o2` may be gone from the SOT without a record; look them up, and let nothing be compared before that
    is done. log: from `o2` on, records are of the SOT's log number `epoch`. hold: apply nothing more. resume: go on.
    look: in the replica somebody else has changed these keys, or any where none is named; look at them.
    backfill: look up in the SOT all rows between the bounds; asked again, say how far that is. counted: a run has told
    how many keys are in drift that it does not name.
    """

    counts = "counts"
    checksums = "checksums"
    sweep = "sweep"
    watch = "watch"
    release = "release"
    truncate = "truncate"
    log = "log"
    hold = "hold"
    resume = "resume"
    look = "look"
    backfill = "backfill"
    counted = "counted"


def request(
    run: str,
    replica: str,
    table: str,
    depth: Depth,
    *,
    between: tuple[int, int] = (0, 0),
    keys: Sequence[bytes] = (),
    **more: Any,
) -> dict[str, Any]:
    """A check request without its deadline, fields as in `schemas/check-request.avsc`.

    between: the partition's end offsets before and after the SOT was read (`o1`, `o2`). more: fields of some depths.
    """
    before, after = between
    return {
        "run": run, "replica": replica, "table": table, "depth": depth, "keys": list(keys), "digests": [],
        "count": len(keys), "o1": before, "o2": after, "chunk": 0, "fence": "", "mapping": "", **more,
    }  # fmt: skip
