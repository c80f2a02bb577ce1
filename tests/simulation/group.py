"""The consumer group: who owns which partition, in which generation, and what has been committed."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from faust.types import TP

if TYPE_CHECKING:
    from tests.simulation.clock import VirtualLoop
    from tests.simulation.worker import Process

# How long a member may take to give up its partitions; then it is out of the group without knowing.
SESSION_SECONDS = 0.8


class Group:
    """Eager rebalances, as Faust has them: everybody gives up everything, then partitions are given out anew."""

    def __init__(self, loop: VirtualLoop, rng: Random, partitions: int) -> None:
        self.generation = 0
        self.committed: dict[TP, int] = {}
        self.owners: dict[int, Process] = {}  # by partition, of this generation
        self._loop = loop
        self._rng = rng
        self._partitions = partitions
        self._members: list[Process] = []
        self._running: asyncio.Task[None] | None = None
        self._again = False

    def join(self, process: Process) -> None:
        """A member that is new, or came back."""
        if process not in self._members:
            self._members.append(process)
        self.rebalance()

    def rebalance(self) -> None:
        """Give the partitions out anew, now or after the rebalance that is under way."""
        self._again = True
        if self._running is None or self._running.done():
            self._running = self._loop.create_task(self._rebalance())

    @property
    def settled(self) -> bool:
        """Whether every partition has an owner and nothing is under way."""
        return (self._running is None or self._running.done()) and len(self.owners) == self._partitions

    def commit(self, process: Process, generation: int, tp: TP, next_offset: int) -> bool:
        """Take a commit of a member of this generation."""
        if generation != self.generation or self.owners.get(tp.partition) is not process:
            return False
        self.committed[tp] = next_offset
        return True

    async def _rebalance(self) -> None:
        while self._again:
            self._again = False
            self.generation += 1
            self.owners = {}
            for process in list(self._members):
                # A frozen one knows nothing of this when it wakes up.
                if process.dead or process.frozen or not await process.give_up(SESSION_SECONDS):
                    self._members.remove(process)
                    process.put_out()
            self._assign()

    def _assign(self) -> None:
        members = [each for each in self._members if not each.dead]
        if not members:
            return
        first = self._rng.randrange(len(members))
        for partition in range(self._partitions):
            self.owners[partition] = members[(first + partition) % len(members)]
        for process in members:
            mine = [partition for partition, owner in self.owners.items() if owner is process]
            process.take_over(mine, self.generation)
