"""The consumer and the thread its driver lives in."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from mode.threads import QueueServiceThread

from streams.transport.consumer import BatchConsumer


class _Driver(QueueServiceThread):  # type: ignore[misc]
    """A driver's thread that notes from where it is asked to seek."""

    sought_from: int | None = None

    def seek(self, partition: TP, offset: int) -> None:
        """Only from its own thread may the driver's records be touched."""
        self.sought_from = threading.get_ident()


async def test_seeking_is_done_in_the_drivers_own_thread() -> None:
    """From ours it took away the records that a fetch was going through: one start in some dozens ended so."""
    driver = _Driver()
    await driver.start()
    try:
        consumer: Any = SimpleNamespace(_thread=driver)
        await BatchConsumer._seek(consumer, TP("changes", 0), 7)
        assert driver.sought_from not in (None, threading.get_ident())
    finally:
        await driver.stop()
