"""A cell of each kind of the fault table, on one store: each layer sees what it must, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.local.stack import Stack
from tests.faulttable.faults import named
from tests.faulttable.layers import RUNS, Layer, Store
from tests.faulttable.scene import Asked, Scene, staged
from tests.faulttable.table import Round, cold_keys, dead_keys, whole_difference

pytestmark = pytest.mark.stack
SMALL = Asked((Store.postgres,), rows=2_000, rate=200, scrub_period=6, keys=2)


@pytest.fixture(scope="module")
def scene(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Three replicas of a table that is changed all the time, each with layers of its own."""
    folder: Path = tmp_path_factory.mktemp("faults")

    def note(said: str) -> None:
        print(said, file=sys.stderr)

    with staged(shared_stack, folder, SMALL, cold_keys(), dead_keys(SMALL.keys), note) as scene:
        yield scene


def test_each_layer_sees_what_it_must(scene: Scene) -> None:
    """Under load, all at once, and without a key that is told of and right."""
    faults = named(["rogue update", "rogue insert", "duplicated changes"])
    measured = Round(scene, faults).measured()
    assert measured["wrong"] == []
    assert measured["false_positives"] == 0
    looked = {name: set(stores[Store.postgres]) for name, stores in measured["faults"].items()}
    assert looked == {
        "rogue update": {Layer.read_back, Layer.scrub, Layer.log, *RUNS},
        "rogue insert": {Layer.sweep, Layer.log, *RUNS},
        "duplicated changes": {Layer.guard, Layer.full},
    }
    assert whole_difference(scene) == {}
