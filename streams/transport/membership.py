"""Whether a consumer still is, or still tries to be, a member of its group."""

from __future__ import annotations

from typing import Any


def failure(consumer: Any) -> BaseException | None:
    """What ended this consumer's part in its group for good; None while it takes part, or tries to.

    aiokafka raises it at the next fetch. There is none while all partitions are paused, as they are during a rebalance:
    the consumer would sit there for ever.
    """
    client = consumer._thread and consumer._thread._consumer
    coordinator = client and client._coordinator
    if not coordinator:
        return None  # not started yet
    routine = coordinator._coordination_task
    if routine.done() and not routine.cancelled() and routine.exception() is not None:
        return routine.exception()  # type: ignore[no-any-return]
    return coordinator._pending_exception  # type: ignore[no-any-return]
