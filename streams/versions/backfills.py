"""What backfills were ordered from a partition, and how far each of them is (decision 18)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

# The last orders, which a partition remembers: one that comes again after a crash is known, and so is what it did.
KNOWN_MAX = 8
# Those that may wait at once; they are carried out one after the other, so that what waits is always known.
WAITING_MAX = 4
# Behind every key: canonical text is UTF-8, which has no such byte.
AFTER_ALL = b"\xff"


class Backfill(NamedTuple):
    """One order: the rows from `lower` to `upper`, by the values of the first key columns; b"" for no bound.

    over: it is done, or given up, and `why` then says so. reached: what the partition knows has been looked up to here;
    the rest is listed by SOT and store. looked, written, removed, failed: keys, so far. The larger one of two records
    of an order is the later one: none of it goes back.
    """

    number: int
    run: str
    lower: bytes = b""
    upper: bytes = b""
    over: int = 0
    reached: bytes = b""
    looked: int = 0
    written: int = 0
    removed: int = 0
    failed: int = 0
    why: str = ""

    @property
    def between(self) -> tuple[bytes, bytes]:
        """Its bounds."""
        return self.lower, self.upper


class Backfills(NamedTuple):
    """The last orders of a partition, the newest last."""

    known: tuple[Backfill, ...] = ()

    @property
    def waiting(self) -> tuple[Backfill, ...]:
        """Those that are not over: the first one is being carried out."""
        return tuple(each for each in self.known if not each.over)

    def of(self, run: str) -> Backfill | None:
        """The order of this name; None where it is not known, or not any more."""
        return next((each for each in self.known if each.run == run), None)

    def with_order(self, run: str, lower: bytes, upper: bytes) -> Backfills:
        """After one was ordered. One that is known changes nothing."""
        if self.of(run) is not None:
            return self
        number = self.known[-1].number + 1 if self.known else 1
        return Backfills((*self.known, Backfill(number, run, lower, upper))[-KNOWN_MAX:])

    def changed(self, run: str, change: Callable[[Backfill], Backfill]) -> Backfills:
        """After one of them has come further."""
        return Backfills(tuple(change(each) if each.run == run else each for each in self.known))

    def merged(self, other: Backfills) -> Backfills:
        """The newest of both, each as far as either knows it to be."""
        known: dict[str, Backfill] = {}
        for each in (*self.known, *other.known):
            known[each.run] = max(each, known.get(each.run, each))
        return Backfills(tuple(sorted(known.values())[-KNOWN_MAX:]))

    def encode(self) -> bytes:
        """Every field of every order."""
        return json.dumps([[_text(value) for value in each] for each in self.known]).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Backfills:
        """The inverse."""
        return cls(tuple(_order(*values) for values in json.loads(encoded)))


def _text(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _order(number: int, run: str, lower: str, upper: str, over: int, reached: str, *rest: Any) -> Backfill:
    bounds = (bytes.fromhex(lower), bytes.fromhex(upper))
    return Backfill(number, run, *bounds, over, bytes.fromhex(reached), *rest)
