"""Control, as far as owners hear of it: orders of a new log, behind a fence, late, again, and of a control killed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from streams.checks.request import Depth, request
from tests.simulation.auditor import deadline
from tests.simulation.worker import REPLICA, TABLE

if TYPE_CHECKING:
    from tests.simulation.world import World

WITHIN_SECONDS = 1e6
POLL_SECONDS = 0.1


class Control:
    """Notices some time after it has happened; `streams.control.continuity` itself needs a database."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = Random(world.history.seed)
        self._epoch = 1
        # Breaks that it has not noticed yet, and will have the table wait for.
        self.noticing = 0

    def broken(self) -> None:
        """The source is not what it was."""
        if self._world.history.holds:
            self.noticing += 1
            self._world.loop.call_later(self._rng.uniform(0.0, 2.0), self._notice)
        self._epoch += self._rng.randint(1, 5)
        self._world.loop.call_later(self._rng.uniform(0.0, 2.0), self._fence, self._epoch)

    def _notice(self) -> None:
        self.noticing -= 1
        self.tell(Depth.hold)

    def tell(self, depth: Depth) -> None:
        """Every partition is to wait, or to go on."""
        for partition in range(self._world.settings.partitions):
            asked = request(
                depth, REPLICA, TABLE, depth, partition=partition, by="a person", reason="a test",
                deadline=deadline(self._world, WITHIN_SECONDS),
            )  # fmt: skip
            self._world.order(asked)

    def _fence(self, epoch: int) -> None:
        if self._world.sot.unavailable:
            self._world.loop.call_later(POLL_SECONDS, self._fence, epoch)
            return
        self._wait(epoch, self._world.sot.fence(), self._world.sot.lives)

    def _wait(self, epoch: int, fence: int, life: int) -> None:
        world = self._world
        if world.sot.lives != life:
            return  # broken again: another order comes
        if world.connector.confirmed < fence:
            world.loop.call_later(POLL_SECONDS, self._wait, epoch, fence, life)
            return
        floors = [partition.end for partition in world.topic.partitions]
        world.count("log ordered")
        world.say("control orders log %s from %s on", epoch, floors)
        some = range(len(floors))
        if self._rng.random() < 0.2:  # killed after the first; later it does all again, with other floors
            some = range(1)
            world.loop.call_later(self._rng.uniform(0.1, 1.0), self._fence, epoch)
        for partition in some:
            self._order(epoch, partition, floors[partition])
            if self._rng.random() < 0.3:
                world.loop.call_later(self._rng.uniform(0.0, 3.0), self._order, epoch, partition, floors[partition])

    def _order(self, epoch: int, partition: int, floor: int) -> None:
        asked = request(
            f"log-{epoch}", REPLICA, TABLE, Depth.log, between=(0, floor), partition=partition, epoch=epoch,
            deadline=deadline(self._world, WITHIN_SECONDS),
        )  # fmt: skip
        self._world.order(asked)
