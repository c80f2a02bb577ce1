"""What a partition knows beside its entries: up to where it was applied, in which epochs, and what is still to be done.

Each mark is kept in local state and in the changelog, and grows only, so that no older record, a zombie's among them,
takes anything back.
"""

from __future__ import annotations

import json
import struct
from typing import NamedTuple

from streams.versions.entry import EVERYTHING_BEFORE, NO_TOKEN, Entry, Position, Token

NUMBER = struct.Struct(">q")
# An input offset, and the epoch it counts in; behind it the id of the topic.
_INPUT_NUMBERS = struct.Struct(">qq")
_SWEEP_NUMBERS = struct.Struct(">4q")
_HOLD_NUMBERS = struct.Struct(">qq")
_FIRST_EPOCH = NUMBER.pack(1)
# Why a partition waits is in every record of its changelog: so long a reason, of so many holds at a time.
REASON_MAX = 500
SAID_MAX = 8
# Who orders a hold and is no person.
PROCESSES = ("worker", "control")
_TXID = (1 << 32) - 1


class Sweep(NamedTuple):
    """What TRUNCATEs have asked of a partition. Each number only grows, so that no older record takes one back.

    epoch, floor: rows of records before it must be looked up in the SOT, once they are applied.
    ordered, done: how many sweeps were asked for, and how many of those are over.
    """

    epoch: int = 0
    floor: int = 0
    ordered: int = 0
    done: int = 0

    @property
    def pending(self) -> bool:
        """Whether rows may still be there that the SOT no longer has."""
        return self.done < self.ordered

    def with_order(self, epoch: int, floor: int) -> Sweep:
        """After one more was asked for."""
        return Sweep(*max(self[:2], (epoch, floor)), self.ordered + 1, self.done)

    def merged(self, other: Sweep) -> Sweep:
        """The larger of each."""
        return Sweep(*max(self[:2], other[:2]), max(self.ordered, other.ordered), max(self.done, other.done))

    def is_due(self, epoch: int, applied: int) -> bool:
        """Whether all is applied that came before; applied: the last offset, which counts in that epoch."""
        return self.pending and (epoch, applied) >= (self.epoch, self.floor - 1)

    def encode(self) -> bytes:
        """Four numbers."""
        return _SWEEP_NUMBERS.pack(*self)

    @classmethod
    def decode(cls, encoded: bytes) -> Sweep:
        """The inverse; what has three numbers was written before floors had epochs."""
        return cls(*_SWEEP_NUMBERS.unpack(encoded if len(encoded) == _SWEEP_NUMBERS.size else _FIRST_EPOCH + encoded))


class Hold(NamedTuple):
    """Whether somebody has the partition wait. Both numbers only grow, so that no older record takes one back.

    ordered, released: how many holds there were, and how many of those are over. said: of each that is pending, or was
    pending last, who ordered it and why; the newest last.
    """

    ordered: int = 0
    released: int = 0
    said: tuple[tuple[str, str], ...] = ()

    @property
    def pending(self) -> bool:
        """Whether nothing may be applied."""
        return self.released < self.ordered

    @property
    def by(self) -> str:
        """Who ordered the newest."""
        return self.said[-1][0]

    @property
    def reason(self) -> str:
        """Why, of all of them: a release ends all."""
        newest, *others = reversed(self.said)
        return newest[1] + "".join(f"; and, by {by}: {why}" for by, why in others)

    def with_order(self, by: str, reason: str) -> Hold:
        """After one was ordered. One that is pending already, as orders come again after a crash, changes nothing."""
        order = (by, reason[:REASON_MAX])
        said = list(self.said) if self.pending else []
        if order in said:
            return self
        said.append(order)
        if len(said) > SAID_MAX:
            # What a process has seen is drift, too; what a person has ordered is nowhere else.
            said.remove(next((each for each in said[:-1] if each[0] in PROCESSES), said[0]))
        return Hold(self.ordered + 1, self.released, tuple(said))

    def ended(self) -> Hold:
        """After all that were ordered are over."""
        return self._replace(released=self.ordered)

    def merged(self, other: Hold) -> Hold:
        """The larger of each."""
        newest = max(self, other, key=lambda hold: hold.ordered)
        return newest._replace(released=max(self.released, other.released))

    def encode(self) -> bytes:
        """Two numbers, and who and why."""
        return _HOLD_NUMBERS.pack(self.ordered, self.released) + json.dumps(self.said).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Hold:
        """The inverse."""
        ordered, released = _HOLD_NUMBERS.unpack_from(encoded)
        return cls(ordered, released, tuple((by, why) for by, why in json.loads(encoded[_HOLD_NUMBERS.size :])))


class Log(NamedTuple):
    """Which of the SOT's logs a partition's records are of (decision 7). Grows only; the larger one holds.

    epoch: ordinal of the newest log, given by control. floor: its records are from this offset on; what is before may
    be of either, and is counted to the log `before`.
    """

    epoch: int = 1
    floor: int = 0
    before: int = 0

    def at(self, offset: int) -> int:
        """The log that the record at `offset` is counted to."""
        return self.epoch if offset >= self.floor else self.before

    def followed(self, epoch: int, floor: int, reached: int) -> Log:
        """After the order of another log; nothing changes where this or a later one is known. reached: applied so far.

        What lies between is counted to the log of the record that comes next.
        """
        return self if epoch <= self.epoch else Log(epoch, floor, self.at(reached + 1))


class Input(NamedTuple):
    """Up to where a topic has been applied. Grows only: a later life of the topic is larger, whatever its offset.

    topic: Kafka's id of it; "" where none was noted yet.
    """

    epoch: int
    offset: int
    topic: str

    def encode(self) -> bytes:
        """Two numbers, and the id."""
        return _INPUT_NUMBERS.pack(self.offset, self.epoch) + self.topic.encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Input:
        """The inverse; what has only an offset was written before topics had epochs."""
        if len(encoded) == NUMBER.size:
            return cls(1, NUMBER.unpack(encoded)[0], "")
        offset, epoch = _INPUT_NUMBERS.unpack_from(encoded)
        return cls(epoch, offset, encoded[_INPUT_NUMBERS.size :].decode())


class Takeover(NamedTuple):
    """Where the past of a partition ends of which nothing was known any more (decision 11). The larger one holds.

    epoch, end: before this offset nothing is applied; the rows are read from the SOT instead. log, lsn: where the SOT's
    log was after that. ceiling: transactions below it may have been in progress then. done: every row has been read.
    """

    epoch: int = 0
    end: int = 0
    log: int = 0
    lsn: int = 0
    ceiling: int = 0
    done: int = 0

    @property
    def pending(self) -> bool:
        """Whether there may be rows that nobody has read yet."""
        return self.end > 0 and not self.done

    @property
    def everything(self) -> int:
        """Stands for every transaction in progress at the takeover: a read of the SOT that shows it shows them all."""
        return EVERYTHING_BEFORE | (self.ceiling - 1) & _TXID

    @property
    def unknown(self) -> Entry:
        """What a key without an entry is held for: gone, as of the takeover. What may be older is asked."""
        unproven = () if self.done else (self.everything,)
        return Entry(Token(self.epoch, self.end - 1, 0), Position(self.log, self.lsn), 0, unproven, None)


# What a key without an entry is held for after a TRUNCATE: gone; only a read, which may come late, is doubted.
SWEPT = Entry(NO_TOKEN, None, 0, (), None)
