"""Change topics that are not what they were: made anew, cut at an end, or with other partitions.

Offsets mean records of one life of a topic. What is known under those of another is kept apart (Ordering 15).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from faust.types import TP

from streams.agents.announce import Announcer
from streams.agents.apply import Applier
from streams.agents.owner import Owner
from streams.agents.retry import until_available
from streams.agents.table import TableWork, Threads
from streams.errors import HoldtrueError
from streams.kafka.admin import Life
from streams.versions.state import PartitionState


class Owners(Protocol):
    """What is asked of the worker whose partitions these are."""

    @property
    def owners(self) -> list[Owner]:
        """The owners that are running."""

    def owner(self, tp: TP) -> Owner:
        """The owner of an assigned partition."""

    async def commit(self, tp: TP, last_offset: int) -> bool:
        """Commit the input offset of a partition."""


class TopicLives:
    """Watches over the change topics of one worker: before anything is applied, while records come, and in between."""

    def __init__(
        self,
        app: Any,
        worker: Owners,
        tables: Mapping[str, TableWork],
        appliers: Mapping[str, Applier],
        announcer: Announcer,
        threads: Threads,
        lives: Callable[[Sequence[str]], Mapping[str, Life]],
    ) -> None:
        self._app = app
        self._worker = worker
        self._tables = tables  # by change topic, as the appliers
        self._appliers = appliers
        self._announcer = announcer
        self._threads = threads
        self._read_lives = lives
        # Topics that were not there at the last look.
        self._away: set[str] = set()

    async def require(self, partners: Iterable[TP], assigned: Iterable[TP]) -> None:
        """Raises HoldtrueError where a partition is not assigned that requests of ours are about.

        Its topic was not there when the group shared out the partitions, and is deleted, or made anew by now: nobody
        would read it, or say so, until the next rebalance. One with more partitions than planned is shared out apart.
        """
        missing = set(partners) - set(assigned)
        lives = await self._lives({tp.topic for tp in missing})
        for tp in sorted(missing):
            life = lives.get(tp.topic)
            if life is None or life.partitions == self._tables[tp.topic].partitions:
                raise _replaced(tp.topic)

    async def recognise(self, assigned: Iterable[TP]) -> None:
        """Notice, before anything is applied, change topics that are not those the version tables tell of.

        A partition of one begins anew, in an epoch of its own. Raises HoldtrueError where a topic is not there.
        """
        mine = [TP(tp.topic, tp.partition) for tp in assigned if tp.topic in self._tables]
        if not mine:
            return
        lives = await self._lives({tp.topic for tp in mine})
        ends: Mapping[TP, int] = await self._app.consumer.highwaters(*mine)
        for tp in mine:
            work = self._tables[tp.topic]
            if tp.topic not in lives:
                raise _replaced(tp.topic)
            state, life = work.versions.state(tp.partition), lives[tp.topic].id
            if state.input_offset >= ends[tp] or not state.is_of(life):
                await self._begin_anew(tp, state, life)
            state.topic = life

    async def watch(self) -> HoldtrueError | None:
        """Why this worker must begin again: a topic was deleted or made anew under it.

        Holds a table that got more partitions. A topic that is away at one look may only not be known yet to a broker
        that was started again.
        """
        owners = self._worker.owners
        topics = {owner.tp.topic for owner in owners}
        lives = await self._lives(topics)
        away, self._away = self._away, topics - lives.keys()
        if gone := away & self._away:
            return _replaced(min(gone))
        for owner in owners:
            life = lives.get(owner.tp.topic)
            if life is not None and owner.state.topic not in ("", life.id):
                return _replaced(owner.tp.topic)
            if life is not None and life.partitions != owner.work.partitions and owner.work.held is None:
                await owner.hold_table(_moved_keys(owner.tp.topic, owner.work.partitions, life.partitions))
        return None

    async def begun_anew(self, tp: TP, wanted: int) -> HoldtrueError | None:
        """A partition ends before what was read of it: remember that it begins anew; why this worker must begin again.

        The topic's id may be the same (records were lost at an unclean election), and by the time of the restart its
        end may have passed the offset that would tell.
        """
        owner = self._worker.owner(tp)
        life = (await self._lives([tp.topic])).get(tp.topic)
        ends: Mapping[TP, int] = await self._app.consumer.highwaters(tp)
        if life is not None and owner.state.is_of(life.id) and ends[tp] >= wanted:
            return None
        async with owner.lock:
            await self._begin_anew(tp, owner.state, life.id if life is not None else owner.state.topic)
        return _replaced(tp.topic)

    async def pass_gap(self, tp: TP, wanted: int, first: int) -> None:
        """Say that changes may be lost: table-level drift `continuity`, which only a full run closes (Ordering 15).

        Said before the owner goes on behind them, which makes it known for good: at worst it is said twice.
        """
        owner = self._worker.owner(tp)
        unapplied = max(wanted, owner.state.input_offset + 1)
        if unapplied >= first:
            # Applied, and gone before that was committed: no record will bring the group's offset there.
            await self._worker.commit(tp, owner.state.input_offset)
            return
        lost = f"offsets {unapplied} to {first - 1} of {tp.topic}[{tp.partition}] were gone before they were applied"
        if owner.state.is_blank:
            lost += ", and nothing is known of its keys: each is looked up in the source of truth"
        await self._announcer.lost(tp, unapplied, lost)
        if owner.work.mapping.on_continuity == "hold":
            await owner.order_hold("worker", lost)
        owner.lose(first - 1)

    async def _begin_anew(self, tp: TP, state: PartitionState, life: str) -> None:
        applied = state.input_offset
        lost = (
            f"{tp.topic}[{tp.partition}] was made anew or has lost its end: it had been applied up to offset "
            f"{applied}; what came after that and was in it before may be lost"
        )
        await self._announcer.lost(tp, applied + 1, lost)
        # A record of the topic that is gone holds nothing any more; its offset may be far behind the new end.
        if not state.hold.pending:
            await self._announcer.released(tp, f"{tp.topic}[{tp.partition}] begins anew")
        state.begin_topic(life)
        if self._tables[tp.topic].mapping.on_continuity == "hold":
            state.hold = state.hold.with_order("worker", lost)
        await self._appliers[tp.topic].note(state)

    async def _lives(self, topics: Iterable[str]) -> Mapping[str, Life]:
        names = sorted(topics)
        return await until_available("topics", lambda: self._threads.run(self._read_lives, names)) if names else {}


def _replaced(topic: str) -> HoldtrueError:
    return HoldtrueError(
        f"The topic {topic} was deleted or made anew, or has lost its end, while this worker read it.",
        "Start the worker again (a supervisor does): it reads what is there from its beginning, under a new epoch. "
        "Then validate the table, and repair what that finds.",
    )


def _moved_keys(topic: str, planned: int, found: int) -> str:
    return (
        f"{topic} has {found} partitions instead of {planned}: keys have moved to other partitions, away from what is "
        "known of them; make the topic anew with its old number (docs/operations.md)"
    )
