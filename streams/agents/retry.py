"""Trying again while a store is down: backoff with jitter, without end, seen in a metric; nothing is skipped."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from streams.errors import StoreUnavailable
from streams.metrics import STORE_ERRORS

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 10.0


class SchemaNotThere(StoreUnavailable):
    """The registry does not give the schema of a record on our own topics (yet): waited for, never skipped."""


async def until_available(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, tried again for as long as it raises StoreUnavailable; cancelled with its task.

    Without end on purpose: a change is never skipped. The partition is paused meanwhile, which bounds memory, and the
    alert on store errors and lag tells a person.
    """
    wait = FIRST_SECONDS
    failures = 0
    while True:
        try:
            result = await work()
        except StoreUnavailable as error:
            failures += 1
            STORE_ERRORS.labels(what, type(error).__name__).inc()
            if failures == 1:
                log.warning("%s: %s Trying again.", what, error)
            await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - jitter, not a secret
            wait = min(wait * 2, LONGEST_SECONDS)
        else:
            if failures:
                log.warning("%s: works again after %d failures", what, failures)
            return result
