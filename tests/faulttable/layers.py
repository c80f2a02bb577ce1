"""The layers of checking, and what each can be expected to see of a fault. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Store(StrEnum):
    """Kinds of replicas."""

    postgres = "postgres"
    redis = "redis"
    dynamodb = "dynamodb"


class Layer(StrEnum):
    """Who might notice. guard: nothing becomes wrong. stream: what worker and control tell of the stream itself."""

    guard = "guard"
    stream = "stream"
    read_back = "read_back"
    scrub = "scrub"
    sweep = "sweep"
    log = "log"
    counts = "counts"
    sample = "sample"
    checksums = "checksums"
    full = "full"


class Effect(StrEnum):
    """What a fault leaves behind. wrong: another row. missing: none. orphan: one that the source does not have."""

    harmless = "harmless"
    wrong = "wrong"
    missing = "missing"
    orphan = "orphan"


RUNS: Final = (Layer.counts, Layer.sample, Layer.checksums, Layer.full)
CONTINUOUS: Final = (Layer.read_back, Layer.scrub, Layer.sweep, Layer.log)

# Of a fault in the store. Where a layer is not named, it does not look at such keys. Beside Postgres, a sample is drawn
# from the source's keys alone, and a run of checksums is a full one.
_RUNS: Final = {Layer.sample: True, Layer.checksums: True, Layer.full: True}
_OF_STORE: Final[Mapping[Effect, Mapping[Layer, bool]]] = MappingProxyType(
    {
        Effect.wrong: {Layer.read_back: True, Layer.scrub: True, Layer.log: True, Layer.counts: False, **_RUNS},
        Effect.missing: {Layer.read_back: True, Layer.scrub: True, Layer.log: True, Layer.counts: True, **_RUNS},
        Effect.orphan: {Layer.read_back: True, Layer.sweep: True, Layer.log: True, Layer.counts: True, **_RUNS},
    }
)


def of_store(effect: Effect, store: Store, *, fresh: bool = True) -> dict[Layer, bool]:
    """Who sees what somebody did to a store. fresh: whether a key that was just written can have the fault."""
    expected = dict(_OF_STORE[effect])
    if not fresh:
        del expected[Layer.read_back]
    if store is not Store.postgres:
        del expected[Layer.log], expected[Layer.checksums]
        if effect is Effect.orphan:
            expected[Layer.sample] = False
    return expected


def of_stream(effect: Effect, store: Store) -> dict[Layer, bool]:
    """Who sees what the stream has lost or invented: the version table is as wrong as the replica, so only runs do.

    Of what did no harm there is nothing to see for anybody.
    """
    if effect is Effect.harmless:
        return {Layer.guard: True, Layer.full: False}
    beside = {Layer.sweep: False} if effect is Effect.orphan else {Layer.scrub: False}
    log = {Layer.log: False} if store is Store.postgres else {}
    counted = effect is not Effect.wrong
    runs = {**_RUNS, Layer.sample: store is Store.postgres or effect is not Effect.orphan}
    if store is not Store.postgres:
        del runs[Layer.checksums]
    return {Layer.guard: False, Layer.stream: False, **beside, **log, Layer.counts: counted, **runs}
