"""How a replica's app starts and ends its owners: none works on what is closed behind it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.app import ReplicaApp


class Ended:
    """Work that is over when it may be; each part of it is ended once."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.running = True

    async def stop(self) -> None:
        """The first one ends it, whoever comes later finds nothing to end."""
        if self.running:
            self.running = False
            await self.may.wait()


async def test_who_ends_owners_that_are_ending_waits_for_them() -> None:
    """A signal during a rebalance: the tables would be closed under the last batch, which would crash the worker."""
    owners = Ended()
    nothing = SimpleNamespace(stop=lambda: asyncio.sleep(0))
    app: Any = SimpleNamespace(checks=nothing, repairs=nothing, replica=owners, ending=asyncio.Lock())
    revoked = asyncio.create_task(ReplicaApp.end_owners(app))
    while owners.running:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    stopped = asyncio.create_task(ReplicaApp.end_owners(app))
    done, _ = await asyncio.wait([stopped], timeout=0.1)
    assert not done
    owners.may.set()
    await asyncio.wait_for(asyncio.gather(revoked, stopped), 10)


@pytest.mark.parametrize("should_stop", [False, True])
async def test_no_owner_is_started_once_the_worker_is_to_end(should_stop: bool) -> None:
    """The signal may come while the topics are looked up: who would end it?"""
    started: list[Any] = []

    async def looked_up(*_: Any) -> None:
        app.should_stop = should_stop

    replica = SimpleNamespace(
        lives=SimpleNamespace(require=looked_up, recognise=looked_up), start_owners=started.extend,
        start_following=lambda: started.append("log"),
    )  # fmt: skip
    app: Any = SimpleNamespace(
        consumer=SimpleNamespace(assignment=lambda: ["partition"]), checks=SimpleNamespace(partners=list),
        replica=replica, should_stop=False,
    )  # fmt: skip
    await ReplicaApp.start_owners(app)
    assert started == ([] if should_stop else ["partition", "log"])
