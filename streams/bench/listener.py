"""Reads the drift topic from outside, as anybody could, and notes when each event was heard."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from streams.bench.ledger import Ledger
from streams.bench.scene import Scene
from streams.control.topic import TopicReader
from streams.kafka.registry import Registry

STOP_SECONDS: Final = 30.0


class Listener:
    """A thread that takes every event of the drift topic into the ledger."""

    def __init__(self, reader: TopicReader, ledger: Ledger) -> None:
        self._reader = reader
        self._ledger = ledger
        self._stopped = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="listener")

    def require_alive(self) -> None:
        """Raises what ended it."""
        if self._failed is not None:
            raise self._failed

    def start(self) -> None:
        """Begin with the topic's first record."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            for event in self._reader.follow(from_beginning=True):
                if self._stopped.is_set():
                    return
                if event is not None:
                    self._ledger.take(event, time.time())
        except BaseException as error:
            self._failed = error


@contextmanager
def listening(scene: Scene, ledger: Ledger) -> Iterator[Listener]:
    """A listener while the block runs."""
    plan, endpoints = scene.place.plan, scene.place.endpoints
    reader = TopicReader(endpoints.kafka, plan.own_topic("drift"), "drift", Registry(endpoints.registry_url))
    listener = Listener(reader, ledger)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()
        reader.close()
