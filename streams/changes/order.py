"""The ordering rule: what one key's records mean, given its entry (design, Ordering 2-8).

The log's own order guards; the source's position only recognises what was sent before; whatever cannot be ordered is
asked of the SOT. Everything here is a pure function of the entry and the records, so that the simulator runs exactly
this code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streams.changes.record import Op, Record
from streams.changes.visibility import Snapshot
from streams.rows.canonical import Row
from streams.versions.entry import ANY, EVERYTHING_BEFORE, NO_TOKEN, Entry, Epochs, Position, Token

# More unproven transactions than this are kept as their maximum alone, which is stricter (see `Snapshot.shows`), never
# laxer. A key only gets here when this many transactions changed it between two looks at the SOT's snapshot.
UNPROVEN_MAX = 32

_READ, _DELETE = Op.read, Op.delete
# What a NamedTuple's own constructor does, without the Python function around it.
_new = tuple.__new__

# Of a position in the log that the answer to an open question will tell: no change is known to come after it.
AT_THE_READ = (1 << 63) - 1

Digest = Callable[[bytes], bytes]


class Store(NamedTuple):
    """Write this row (None: a tombstone) to the store under the entry's token, then keep the entry."""

    entry: Entry
    row: Row | None
    line: bytes


class Keep(NamedTuple):
    """Nothing to write; the entry learned something (a transaction seen), or nothing (None)."""

    entry: Entry | None


class Ask(NamedTuple):
    """Only the SOT can tell: read the key there, then call `answer`.

    entry: what is known now; its token is still the stored one. token, position: what the answer will be written with.
    """

    entry: Entry
    token: Token
    position: Position | None


Decision = Store | Keep | Ask


@dataclass(slots=True)
class _Run:
    """The state of one key while its records of one batch go by, in offset order."""

    epochs: Epochs
    known: Entry
    token: Token
    position: Position | None
    seen: int
    unproven: tuple[int, ...]
    digest: bytes | None
    refused: bool
    write: Record | None = None
    asking: bool = False


def decide(
    entry: Entry | None, records: Sequence[Record], epochs: Epochs, digest: Digest, *, unknown: Entry | None = None
) -> Decision:
    """What to do about one key's records of one batch, given in offset order, all of `epochs`.

    `digest` gives the digest of a row's canonical bytes under this key. Reduces the batch to at most one write or one
    SOT read (Ordering 7). `unknown`: what a key without an entry is held for; None while that can only be a key of
    which nothing has been sent yet (`versions.state.PartitionState.unknown`).
    """
    if len(records) == 1 and (store := _next_in_order(entry, records[0], epochs, digest, unknown)) is not None:
        return store
    return _decide_in_full(entry, records, epochs, digest, unknown)


def _decide_in_full(
    entry: Entry | None, records: Sequence[Record], epochs: Epochs, digest: Digest, unknown: Entry | None = None
) -> Decision:
    known = unknown if entry is None else entry
    run = _start(known, epochs)
    absent = known is None
    for record in records:
        if (epochs.topic, record.offset) <= run.token.record:
            continue  # a replay (Ordering 3)
        if record.op is Op.read:
            _read(run, record, digest, absent=absent)
        else:
            _change(run, record, digest)
        absent = absent and run.token == NO_TOKEN
    return _finish(run, entry)


def _next_in_order(
    entry: Entry | None, record: Record, epochs: Epochs, digest: Digest, unknown: Entry | None = None
) -> Store | None:
    """The write for what nearly every key of a batch is: one record that simply follows. None: the whole rule decides.

    Says exactly what the whole rule says (a property test compares them), in a third of the time.
    """
    offset, op, row, line, lsn, txid, incomplete = record
    epoch, log = epochs
    if incomplete or epoch < 1:
        return None
    if entry is None:
        entry = unknown
    if entry is None:
        if op is _DELETE and txid == 0:
            return None
        unproven: tuple[int, ...] = (txid,)
    else:
        token, before, seen, unproven, _, _ = entry
        if op is _READ or (op is _DELETE and (txid == seen or seen == ANY)) or (epoch, offset) <= token[:2]:
            return None
        if before is not None and (before[0] != log or lsn <= before[1]):
            return None
        unproven = unproven_with(unproven, txid)
    known = (None, 0, ()) if op is _READ else (_new(Position, (log, lsn)), txid, unproven)
    content = None if row is None else digest(line)
    learned = _new(Entry, (_new(Token, (epoch, offset, 0)), *known, content, False))
    return _new(Store, (learned, row, line))


def _start(entry: Entry | None, epochs: Epochs) -> _Run:
    known = entry or Entry(NO_TOKEN, None, 0, (), None)
    return _Run(epochs, known, *known)


def _read(run: _Run, record: Record, digest: Digest, *, absent: bool) -> None:
    """A snapshot's row (Ordering 6): taken only where nothing is known; its content never overrides anything."""
    if absent and not record.partial:
        _take(run, record, None, digest)
    elif run.asking or record.partial or _digest_of(record, digest) != run.digest:
        _ask(run, record, run.position)


def _change(run: _Run, record: Record, digest: Digest) -> None:
    """A change of the log (Ordering 3-5)."""
    log = run.epochs.log
    here = run.position is not None and run.position.epoch == log
    same_transaction = run.seen in (record.txid, ANY)
    late = here and run.position is not None and record.lsn <= run.position.lsn
    # What comes late may come between two changes of one transaction.
    run.seen = ANY if late and record.txid != run.seen else record.txid
    # Another log's transactions are over, or never were: this change came after them.
    run.unproven = unproven_with(run.unproven if here or run.position is None else (), record.txid)
    position = Position(log, record.lsn)
    if run.position is None or not here:
        _change_unpositioned(run, record, position, digest, same_transaction=same_transaction)
    elif record.lsn > run.position.lsn:
        _change_ordered(run, record, position, digest, same_transaction=same_transaction)
    elif _differs(run, record, digest):
        _ask(run, record, run.position)


def _change_unpositioned(
    run: _Run, record: Record, position: Position, digest: Digest, *, same_transaction: bool
) -> None:
    """No position of this log to compare with: trusted after reads, asked after another log."""
    if run.position is None:
        _change_ordered(run, record, position, digest, same_transaction=same_transaction)
    else:
        # The entry may hold more of this log than the record does: it can be sent again. Equal content proves nothing.
        _ask(run, record, position._replace(lsn=AT_THE_READ))


def _change_ordered(run: _Run, record: Record, position: Position, digest: Digest, *, same_transaction: bool) -> None:
    # Key swaps and chains under deferrable constraints deliver create, then the old row's delete: the delete of the
    # transaction seen last for this key proves nothing. Rows without all their values cannot be written either.
    if record.partial or (record.op is Op.delete and same_transaction):
        _ask(run, record, position)
    else:
        _take(run, record, position, digest)


def _take(run: _Run, record: Record, position: Position | None, digest: Digest) -> None:
    run.token = Token(run.epochs.topic, record.offset, 0)
    run.position = position
    run.digest = _digest_of(record, digest)
    run.write = record
    run.asking = False  # an open SOT read is dropped by a later ordered change (Ordering 7)


def _ask(run: _Run, record: Record, position: Position | None) -> None:
    run.token = Token(run.epochs.topic, record.offset, 0)
    run.position = position
    run.write = None
    run.asking = True


def _differs(run: _Run, record: Record, digest: Digest) -> bool:
    return run.asking or record.partial or _digest_of(record, digest) != run.digest


def _digest_of(record: Record, digest: Digest) -> bytes | None:
    return None if record.row is None else digest(record.line)


def _finish(run: _Run, entry: Entry | None) -> Decision:
    if run.asking:
        # The stored row is still the known one; only what was seen has moved.
        known = run.known._replace(seen=run.seen, unproven=run.unproven)
        return Ask(known, run.token, run.position)
    refused = run.refused and run.write is None
    learned = Entry(run.token, run.position, run.seen, run.unproven, run.digest, refused)
    if run.write is not None:
        return Store(learned, run.write.row, run.write.line)
    return Keep(None if learned == entry or entry is None else learned)


def answer(ask: Ask, row: Row | None, line: bytes, snapshot: Snapshot, digest: Digest) -> Store | None:
    """The write that a SOT read leads to (Ordering 8); None when the read does not count and must be made again.

    It counts only if every transaction seen but unproven for this key is visible in its snapshot: with a waiting
    synchronous standby the log shows a change before other sessions can read it.
    """
    if not all(snapshot.shows(txid) for txid in ask.entry.unproven):
        return None
    content = None if row is None else digest(line)
    position = ask.position
    if position is not None and position.lsn == AT_THE_READ:
        position = position._replace(lsn=snapshot.lsn)
    return Store(Entry(ask.token, position, ask.entry.seen, (), content), row, line)


def unproven_with(unproven: tuple[int, ...], txid: int) -> tuple[int, ...]:
    """The unproven transactions after a change of `txid` was seen, in ascending order of arrival, bounded."""
    if unproven and unproven[-1] == txid:
        return unproven
    grown = (*unproven, txid) if txid not in unproven else unproven
    return grown if len(grown) <= UNPROVEN_MAX else _strictest(grown)


def _strictest(unproven: Iterable[int]) -> tuple[int, ...]:
    """Too many to keep: their maximum, marked so that everything up to it must be visible."""
    return (EVERYTHING_BEFORE | max(txid & ~EVERYTHING_BEFORE for txid in unproven),)


def prune(entry: Entry, snapshot: Snapshot) -> Entry:
    """The entry without the transactions that a SOT snapshot has shown to be visible: later ones show them too."""
    return Pruner(snapshot).prune(entry)


class Pruner:
    """`prune` for the many entries of a batch, whose transactions are few."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._left: dict[tuple[int, ...], tuple[int, ...]] = {(): ()}

    def prune(self, entry: Entry) -> Entry:
        """The entry without the transactions that the snapshot shows."""
        token, position, seen, unproven, digest, refused = entry
        left = self._left.get(unproven)
        if left is None:
            left = tuple(txid for txid in unproven if not self._snapshot.shows(txid))
            left = self._left[unproven] = unproven if left == unproven else left
        if left is unproven:
            return entry
        return _new(Entry, (token, position, seen, left, digest, refused))
