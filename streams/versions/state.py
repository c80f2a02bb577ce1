"""The version table of one partition on local disk: entries, bucket digests, input offset, in one atomic write.

RocksDB keeps it between restarts; the changelog topic keeps it between machines. What is written here has always been
acknowledged by the changelog first, so that losing this folder loses nothing (design, Ordering 9 and 13).
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from streams.rows.digest import BUCKETS, DIGEST_BYTES, bucket_of
from streams.versions.backfills import Backfills
from streams.versions.disk import Changes, Disk, RocksDisk
from streams.versions.entry import Entry, Epochs, Token
from streams.versions.marks import NUMBER, SWEPT, Hold, Input, Log, Sweep, Takeover

# One letter before every key tells what it is; the changelog uses the same keys.
ENTRY, SUSPICION, MARK, BUCKET = b"e", b"s", b"m", b"b"
_INPUT, _CHANGELOG, _LIVE = (MARK + name for name in (b"input", b"changelog", b"live"))
_MAPPING, _KEY_SCHEMA = (MARK + name for name in (b"mapping", b"key-schema"))
_SWEEP, _LOG, _TAKEOVER, _HOLD = (MARK + name for name in (b"sweep", b"log", b"takeover", b"hold"))
_BACKFILLS, _STORM, _FLOOD = (MARK + name for name in (b"backfills", b"storm", b"flood"))
_LOG_NUMBERS = struct.Struct(">qqq")
_TAKEOVER_NUMBERS = struct.Struct(">6q")

_MODULUS = 1 << (8 * DIGEST_BYTES)


# Of the changelog: key and value; a key without value is no longer there.
ChangelogRecord = tuple[bytes, bytes | None]


class Move(NamedTuple):
    """One key's entry moving from `old` to `new`."""

    key: bytes
    old: Entry | None
    new: Entry


class PartitionState:
    """What this replica must hold for the keys of one partition. Used by the partition's owner.

    lock: held by whoever looks at entries to move them, from the look to `commit`. It is the state's and not the
    owner's: owners change with every rebalance, and the same process may go on with the same state.
    """

    def __init__(self, path: Path, partition: int, open_disk: Callable[[Path], Disk] = RocksDisk) -> None:
        self.partition = partition
        self.lock = asyncio.Lock()
        self._disk = open_disk(path)
        self._buckets = [0] * BUCKETS
        for key, value in self._prefixed(BUCKET):
            self._buckets[int.from_bytes(key, "big")] = int.from_bytes(value, "big")
        done = self._disk.get([_INPUT])[0]
        self.epoch, self.input_offset, self.topic = Input(1, -1, "") if done is None else Input.decode(done)
        self.changelog_offset = self._mark(_CHANGELOG, -1)
        self.live = self._mark(_LIVE, 0)
        # What the digests were made under, "" before the first; the schema of the record keys, -1 before the first.
        self.mapping = (self._disk.get([_MAPPING])[0] or b"").decode()
        self.key_schema = self._mark(_KEY_SCHEMA, -1)
        sweep = self._disk.get([_SWEEP])[0]
        self.sweep = Sweep() if sweep is None else Sweep.decode(sweep)
        log = self._disk.get([_LOG])[0]
        self.log = Log() if log is None else Log(*_LOG_NUMBERS.unpack(log))
        takeover = self._disk.get([_TAKEOVER])[0]
        self.takeover = Takeover() if takeover is None else Takeover(*_TAKEOVER_NUMBERS.unpack(takeover))
        hold = self._disk.get([_HOLD])[0]
        self.hold = Hold() if hold is None else Hold.decode(hold)
        backfills = self._disk.get([_BACKFILLS])[0]
        self.backfills = Backfills() if backfills is None else Backfills.decode(backfills)
        # When more was in drift than is repaired without being asked, as far as that was noted; 0 for never. In
        # milliseconds since 1970: whoever goes on with this partition may be another process.
        self.storm = self._mark(_STORM, 0)
        # When keys of this partition began to be only counted, in the same milliseconds; negative, when that was over.
        self.flood = self._mark(_FLOOD, 0)
        # Grows with each row that comes or goes: how far a count may be off that was taken meanwhile. It begins at the
        # microseconds since 1970, so that an opening between two counts looks like more than could have come and gone.
        self.turnover = time.time_ns() // 1000
        # Keys whose store answered with a token larger than ours, with that token (Ordering 12).
        self.suspected = dict(self._prefixed(SUSPICION))

    def entries(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """The entries of `keys`, in their order; None where there is none."""
        found = self._disk.get([ENTRY + key for key in keys])
        return [None if value is None else Entry.decode(value) for value in found]

    def entry(self, key: bytes) -> Entry | None:
        """The entry of one key."""
        return self.entries([key])[0]

    def scan(self, lower: bytes = b"", upper: bytes | None = None) -> Iterator[tuple[bytes, Entry]]:
        """Entries whose key is in [lower, upper), in the order of the keys' bytes."""
        for key, value in self._prefixed(ENTRY, lower):
            if upper is not None and key >= upper:
                return
            yield key, Entry.decode(value)

    def known(self, key: bytes) -> Entry | None:
        """The entry of one key, or what it is held for without one."""
        return self.entry(key) or self.unknown

    @property
    def unknown(self) -> Entry | None:
        """What a key without an entry is held for; None while it can only be one of which nothing was sent yet."""
        if self.takeover.end:
            return self.takeover.unknown
        return SWEPT if self.sweep.ordered else None

    @property
    def is_blank(self) -> bool:
        """Whether nothing is known of any key: there is no state yet, or it was lost with its changelog."""
        return self.input_offset < 0 and next(self.scan(), None) is None

    def take_over(self, end: int, lsn: int, ceiling: int) -> None:
        """Nothing before `end` can be told any more: its rows are to be read from the SOT (decision 11).

        lsn: where the SOT's log was after `end` was noted. ceiling: of a snapshot made after that.
        """
        self.takeover = Takeover(self.epoch, end, self.log.at(end), lsn, ceiling)

    def epochs(self, offset: int) -> Epochs:
        """What the numbers of the record at `offset` count in."""
        return Epochs(self.epoch, self.log.at(offset))

    def begin_topic(self, topic: str) -> None:
        """The topic was made anew: its offsets begin again, and are larger than all before by their epoch."""
        self.epoch, self.input_offset, self.topic = self.epoch + 1, -1, topic

    def bucket_digest(self, bucket: int) -> int:
        """Sum of the digests of the bucket's live keys, modulo 2**128."""
        return self._buckets[bucket]

    def changelog(
        self, moves: Sequence[Move], input_offset: int, suspected: Mapping[bytes, bytes] | None = None
    ) -> list[ChangelogRecord]:
        """The records that make these moves and suspicions recoverable: entries first, and the input offset last."""
        records: list[ChangelogRecord] = [(ENTRY + move.key, move.new.encode()) for move in moves]
        if suspected or self.suspected:
            records += self._doubts(moves, suspected or {})
        records.append((_MAPPING, self.mapping.encode()))
        records.append((_KEY_SCHEMA, NUMBER.pack(self.key_schema)))
        records += self._befallen()
        records.append((_INPUT, Input(self.epoch, max(input_offset, self.input_offset), self.topic).encode()))
        return records

    def commit(
        self,
        moves: Sequence[Move],
        input_offset: int,
        changelog_offset: int,
        *,
        suspected: Mapping[bytes, bytes] | None = None,
        records: Sequence[ChangelogRecord] | None = None,
    ) -> None:
        """Make the moves ours, in one atomic write, after the changelog has acknowledged them.

        `suspected`: keys whose store answered with a token larger than ours (Ordering 12), with that token. Another key
        whose token moves is no longer suspected. `records`: what `changelog` gave for these, so that they are encoded
        once. The input offset never moves back, but with a new epoch (`begin_topic`).
        """
        batch = self._disk.changes()
        records = records or self.changelog(moves, input_offset, suspected)
        # After the entries come suspicions, and marks that `_write` brings up to date.
        for key, value in records[: len(moves)]:
            assert value is not None
            batch.put(key, value)
        touched: set[int] = set()
        for move in moves:
            self._account(move, touched)
        if suspected or self.suspected:
            for key, stored in self._doubts(moves, suspected or {}):
                self._doubt(batch, key[len(SUSPICION) :], stored)
        self.input_offset = max(self.input_offset, input_offset)
        self._passed(changelog_offset, len(records))
        self._write(batch, touched)

    def recover(self, records: Iterable[tuple[bytes, bytes | None]], changelog_offset: int) -> None:
        """Take records of the changelog, in its order. A key's larger token wins: a zombie's record is passed over."""
        newest: dict[bytes, Entry] = {}
        batch = self._disk.changes()
        for key, value in records:
            if key.startswith(SUSPICION):
                self._doubt(batch, key[len(SUSPICION) :], value)
            elif value is None:
                continue
            elif key.startswith(ENTRY):
                entry = Entry.decode(value)
                known = newest.get(key[1:])
                if known is None or entry.token >= known.token:
                    newest[key[1:]] = entry
            else:
                self._recover_mark(key, value)
        touched: set[int] = set()
        olds = self.entries(list(newest)) if newest else []
        for (key, entry), old in zip(newest.items(), olds, strict=True):
            if old is None or entry.token >= old.token:
                batch.put(ENTRY + key, entry.encode())
                self._account(Move(key, old, entry), touched)
        self._cover(newest.values())
        self._doubt_no_more(batch, newest)
        self.changelog_offset = max(self.changelog_offset, changelog_offset)
        self._write(batch, touched)

    def _cover(self, entries: Iterable[Entry]) -> None:
        """Know of every life of the topic that an entry tells of, also where the mark that told of it was lost.

        Of which topic it was is unknown then: the next one read begins another epoch.
        """
        newest = max((entry.token.epoch for entry in entries), default=0)
        if newest > self.epoch:
            self.epoch, self.input_offset, self.topic = newest, -1, ""

    def _doubt_no_more(self, batch: Changes, newest: Mapping[bytes, Entry]) -> None:
        """Drop suspicions that were another owner's: a zombie's, of a token that the entry here knows or has passed."""
        keys = list(self.suspected)
        for key, known in zip(keys, self.entries(keys) if keys else [], strict=True):
            tokens = [entry.token for entry in (known, newest.get(key)) if entry is not None]
            if tokens and Token.decode(self.suspected[key]) <= max(tokens):
                self._doubt(batch, key, None)

    def is_of(self, topic: str) -> bool:
        """Whether input offset and entries count in this topic.

        Marks from before topics had epochs name none, and nothing is known of any when all was lost. But entries
        without a mark are of a topic that nobody knows any more.
        """
        if self.topic or self.epoch > 1:
            return self.topic == topic
        return self.input_offset >= 0 or next(self.scan(), None) is None

    def _passed(self, last: int, count: int) -> None:
        """The changelog ends with `count` records of ours, up to `last`; is everything before them known here?

        If not, somebody else has written between: one of us is a zombie. What we have not seen is read again at the
        next recovery, which would otherwise begin behind it.
        """
        if last - count <= self.changelog_offset:
            self.changelog_offset = max(self.changelog_offset, last)

    def _recover_mark(self, key: bytes, value: bytes) -> None:
        if key == _INPUT:
            here = Input(self.epoch, self.input_offset, self.topic)
            self.epoch, self.input_offset, self.topic = max(here, Input.decode(value))
        elif key == _LOG:
            self.log = max(self.log, Log(*_LOG_NUMBERS.unpack(value)))
        elif key == _MAPPING:
            self.mapping = value.decode()
        elif key == _KEY_SCHEMA:
            self.key_schema = NUMBER.unpack(value)[0]
        elif key == _SWEEP:
            self.sweep = self.sweep.merged(Sweep.decode(value))
        elif key == _TAKEOVER:
            self.takeover = max(self.takeover, Takeover(*_TAKEOVER_NUMBERS.unpack(value)))
        elif key == _HOLD:
            self.hold = self.hold.merged(Hold.decode(value))
        elif key == _BACKFILLS:
            self.backfills = self.backfills.merged(Backfills.decode(value))
        elif key == _STORM:
            self.storm = max(self.storm, NUMBER.unpack(value)[0])
        elif key == _FLOOD:
            self.flood = max(self.flood, NUMBER.unpack(value)[0], key=abs)

    def close(self) -> None:
        """Flush and give the folder free for another process."""
        self._disk.close()

    def _doubts(self, moves: Sequence[Move], suspected: Mapping[bytes, bytes]) -> list[ChangelogRecord]:
        """Suspicions that come, and those that end because a write of their key was settled: its token has moved."""
        ended = [
            key for key, old, new in moves
            if key in self.suspected and key not in suspected and (old is None or new.token != old.token)
        ]  # fmt: skip
        return [(SUSPICION + key, suspected.get(key)) for key in (*ended, *suspected)]

    def _doubt(self, batch: Changes, key: bytes, stored: bytes | None) -> None:
        if stored is not None:
            batch.put(SUSPICION + key, stored)
            self.suspected[key] = stored
        elif self.suspected.pop(key, None) is not None:
            batch.delete(SUSPICION + key)

    def _account(self, move: Move, touched: set[int]) -> None:
        key, old_entry, new_entry = move
        old = old_entry.digest if old_entry is not None else None
        new = new_entry.digest
        if old == new:
            return
        bucket = bucket_of(key)
        total = self._buckets[bucket]
        if (new is None) != (old is None):
            self.turnover += 1
        if new is not None:
            self.live += 1
            total += int.from_bytes(new, "big")
        if old is not None:
            self.live -= 1
            total -= int.from_bytes(old, "big")
        self._buckets[bucket] = total % _MODULUS
        touched.add(bucket)

    def _write(self, batch: Changes, touched: Iterable[int]) -> None:
        for bucket in touched:
            batch.put(BUCKET + bucket.to_bytes(2, "big"), self._buckets[bucket].to_bytes(DIGEST_BYTES, "big"))
        batch.put(_INPUT, Input(self.epoch, self.input_offset, self.topic).encode())
        batch.put(_CHANGELOG, NUMBER.pack(self.changelog_offset))
        batch.put(_LIVE, NUMBER.pack(self.live))
        batch.put(_MAPPING, self.mapping.encode())
        batch.put(_KEY_SCHEMA, NUMBER.pack(self.key_schema))
        for mark, value in self._befallen():
            batch.put(mark, value)
        self._disk.write(batch)

    def _befallen(self) -> Iterator[tuple[bytes, bytes]]:
        """Marks of what most partitions never meet, where this one has."""
        if self.sweep.ordered:
            yield _SWEEP, self.sweep.encode()
        if self.log != Log():
            yield _LOG, _LOG_NUMBERS.pack(*self.log)
        if self.takeover.end:
            yield _TAKEOVER, _TAKEOVER_NUMBERS.pack(*self.takeover)
        if self.hold.ordered:
            yield _HOLD, self.hold.encode()
        if self.backfills.known:
            yield _BACKFILLS, self.backfills.encode()
        if self.storm:
            yield _STORM, NUMBER.pack(self.storm)
        if self.flood:
            yield _FLOOD, NUMBER.pack(self.flood)

    def _mark(self, name: bytes, default: int) -> int:
        value = self._disk.get([name])[0]
        return default if value is None else int(NUMBER.unpack(value)[0])

    def _prefixed(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._disk.items(prefix + start):
            if not key.startswith(prefix):
                return
            yield key[1:], value
