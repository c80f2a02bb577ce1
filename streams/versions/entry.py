"""Entries of the version table and the token a stored row carries (design, Ordering 1 and Guard)."""

from __future__ import annotations

import struct
from typing import NamedTuple

_TOKEN = struct.Struct(">IQI")
TOKEN_BYTES = _TOKEN.size
# Set on a transaction id: not this transaction alone but every one up to it must be visible.
EVERYTHING_BEFORE = 1 << 63
# In place of the transaction seen last: a late change has come between, so that it may be any.
ANY = 1 << 63
REFRESH_MAX = (1 << 32) - 1
# What a NamedTuple's own constructor does, without the Python function around it.
_new = tuple.__new__


class Token(NamedTuple):
    """The totally ordered mark of a stored row. Encoded at fixed width, it sorts as bytes and as hex text.

    epoch: ordinal of the topic's life; 0 is "before any change".
    offset: of the topic record that wrote the row.
    refresh: how often the row was read again from the SOT at that record.
    """

    epoch: int
    offset: int
    refresh: int

    def encode(self) -> bytes:
        """16 bytes, big-endian, in the order of comparison."""
        return _TOKEN.pack(self.epoch, self.offset, self.refresh)

    @classmethod
    def decode(cls, encoded: bytes) -> Token:
        """The inverse of `encode`; raises struct.error when the width is wrong."""
        return cls(*_TOKEN.unpack(encoded))

    @property
    def record(self) -> tuple[int, int]:
        """(epoch, offset): the record this token stands for, whatever its refreshes."""
        return (self.epoch, self.offset)

    @property
    def is_last(self) -> bool:
        """Whether there is none after it for the same record. So many reads nobody makes: it is not ours."""
        return self.refresh == REFRESH_MAX

    def refreshed(self) -> Token:
        """The next token for the same record, after another read of the SOT; not of one that `is_last`."""
        assert not self.is_last
        return Token(self.epoch, self.offset, self.refresh + 1)


NO_TOKEN = Token(0, 0, 0)


class Epochs(NamedTuple):
    """What the numbers of a record count in (design, Ordering 15; decision 7).

    topic: which life of the topic its offset is of: a token's epoch. log: which log its lsn and its transaction are
    of: a position's epoch.
    """

    topic: int
    log: int


class Position(NamedTuple):
    """Where a change was in the source's log; only recognises changes that were sent again. epoch: which log."""

    epoch: int
    lsn: int


class Entry(NamedTuple):
    """What a replica must hold for one key, and what is known about how it came to that.

    token: of the row, as the store has it.
    position: of the last applied change; None when only reads of the SOT made this entry.
    seen: transaction id of the last change seen for this key, applied or not; 0 when none was, ANY when one came late.
    unproven: ids of transactions whose changes were seen but which no SOT snapshot has shown to be visible yet.
    digest: of the row, 16 bytes; None is a tombstone: the key must not be in the replica.
    refused: the store could not hold this row; ends with the next write that the store takes.
    """

    token: Token
    position: Position | None
    seen: int
    unproven: tuple[int, ...]
    digest: bytes | None
    refused: bool = False

    def encode(self) -> bytes:
        """Fixed part of 62 bytes, then 8 bytes per unproven transaction."""
        (epoch, offset, refresh), position, seen, unproven, digest, refused = self
        flags = _REFUSED if refused else 0
        if digest is not None:
            flags |= _LIVE
        if position is not None:
            flags |= _POSITIONED
        p_epoch, lsn = position or (0, 0)
        fixed = _ENTRY.pack(flags, epoch, offset, refresh, p_epoch, lsn, seen, digest or b"")
        return fixed + struct.pack(f">{len(unproven)}Q", *unproven) if unproven else fixed

    @classmethod
    def decode(cls, encoded: bytes) -> Entry:
        """The inverse of `encode`; raises struct.error on bytes that are not an entry."""
        flags, epoch, offset, refresh, p_epoch, lsn, seen, digest = _ENTRY.unpack_from(encoded)
        extra = (len(encoded) - _ENTRY.size) // 8
        token = _new(Token, (epoch, offset, refresh))
        position = _new(Position, (p_epoch, lsn)) if flags & _POSITIONED else None
        unproven = struct.unpack_from(f">{extra}Q", encoded, _ENTRY.size) if extra else ()
        said = (digest if flags & _LIVE else None, bool(flags & _REFUSED))
        return _new(cls, (token, position, seen, unproven, *said))


_ENTRY = struct.Struct(">BIQIIQQ16s")
_LIVE, _POSITIONED, _REFUSED = 1, 2, 8
