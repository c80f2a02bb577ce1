"""Waiting for a store that is away: longer and longer up to a bound, each failure counted, nothing skipped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from streams.agents import retry
from streams.agents.retry import FIRST_SECONDS, LONGEST_SECONDS, until_available
from streams.errors import StoreUnavailable


class Gone(StoreUnavailable):
    """The store's own error."""


def failing(times: int) -> Callable[[], Awaitable[str]]:
    """A store that is away so often."""
    left = [Gone("The store does not answer.")] * times

    async def work() -> str:
        if left:
            raise left.pop()
        return "done"

    return work


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited each time, with the jitter at its longest; no time passes."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(retry.asyncio, "sleep", sleep)
    monkeypatch.setattr(retry.random, "uniform", lambda least, most: most)
    return waited


def errors(store: str) -> float:
    """Failures of this store that were counted."""
    labels = {"store": store, "reason": "Gone"}
    return REGISTRY.get_sample_value("holdtrue_store_errors_total", labels) or 0.0


async def test_waits_grow_up_to_the_longest(waits: list[float]) -> None:
    """A store that comes back after hours is asked within seconds, and not thousands of times meanwhile."""
    assert await until_available("sot", failing(10)) == "done"
    assert waits == [min(FIRST_SECONDS * 2**n, LONGEST_SECONDS) for n in range(10)]
    assert waits[-2:] == [LONGEST_SECONDS, LONGEST_SECONDS]


async def test_every_failure_is_counted_for_its_store_and_reason(waits: list[float]) -> None:
    """The alert on store errors sees an outage that goes on, and which store it is."""
    before, other = errors("registry"), errors("events")
    await until_available("registry", failing(3))
    assert errors("registry") - before == len(waits) == 3
    await until_available("registry", failing(0))
    assert (errors("registry") - before, errors("events")) == (3, other)


async def test_an_error_of_another_kind_is_no_outage(waits: list[float]) -> None:
    """Trying again would not mend it, and would hide it."""

    async def broken() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await until_available("sot", broken)
    assert waits == []
