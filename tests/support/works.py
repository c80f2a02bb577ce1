"""What the owner of a table in memory works with, as far as repairs use it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from streams.agents.table import Budget
from streams.drift.names import Names
from streams.replicas.base import Write
from streams.rows.digest import Digester
from tests.support.shapes import make_shape

# What the plan says of a table that we write.
REPLICATED = SimpleNamespace(
    mode="replicate",
    others_write=False,
    readers_fill=False,
    lag_max=None,
    on_failure="dead-letter",
    on_continuity="continue",
)  # fmt: skip
SHAPE = make_shape({"id": "int8", "value": "text"}, ["id"])


def work_of(store: Any, run: Any, read_sot: Any, versions: Any) -> SimpleNamespace:
    """One table of one replica. run: carries out a call to the store; read_sot: gives the source's rows."""

    async def guarded() -> Any:
        return store

    return SimpleNamespace(
        replica="r", table="t", store=store, shape=SHAPE, digester=Digester(SHAPE.mapping_version),
        threads=SimpleNamespace(run=run), read_sot=read_sot, versions=versions, labels=("t", "r"),
        names=Names("r", "t", SHAPE.key_columns), unprepared="", budget=Budget(1e6), mapping=REPLICATED, write=Write,
        guarded=guarded,
    )  # fmt: skip
