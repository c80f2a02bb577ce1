"""The source of truth: one table under concurrent transactions, its log, and what other sessions can see of it.

What Postgres does that matters here: a transaction's changes enter the log when it commits, under the positions they
got when they were made; a key stays locked until the transaction's end is visible; with a waiting standby, the log
shows a commit before other sessions see it; an INSERT that waits on an index holds an older position than what commits
before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.changes.record import Op
from streams.changes.visibility import Snapshot
from streams.rows.canonical import Row, encode

# A value that begins so is left out of the replica by the mapping's filter.
FILTERED = "-"


# In place of a key: a TRUNCATE is of all of them.
ALL_KEYS = 0


class Change(NamedTuple):
    """One row change of a committed transaction, or a TRUNCATE. `value` is None for a delete."""

    key: int
    value: str | None
    lsn: int
    partial: bool = False


class Commit(NamedTuple):
    """A committed transaction in the log, with what its keys were before it (to undo it at a failover), and after."""

    txid: int
    changes: tuple[Change, ...]
    before: dict[int, str | None]
    after: dict[int, str | None]


@dataclass
class Transaction:
    """A transaction in progress. `waiting`: an INSERT that has its log position, and waits for an index."""

    txid: int
    rows: dict[int, str | None] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    waiting: tuple[int, int] | None = None
    committed: bool = False


def key_bytes(key: int) -> bytes:
    """The canonical bytes of a key."""
    return b"%d" % key


def row_of(key: int, value: str | None) -> Row | None:
    """The replica's row for a value, None where it must have none."""
    return None if value is None or value.startswith(FILTERED) else (str(key), value)


def line_of(row: Row | None) -> bytes:
    """Canonical bytes of a row."""
    return b"" if row is None else encode(row)


class Sot:
    """One table. Keys are small numbers, values short texts."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}  # what other sessions see
        self.wal: list[Commit] = []
        self.open: list[Transaction] = []  # in progress, and committed ones that are not visible yet
        self.unavailable = False
        self.changed: dict[int, int] = {}  # key → how often what is seen of it has changed
        # Called when other rows are committed than before.
        self.on_commit: Callable[[], None] = lambda: None
        self._locks: dict[int, Transaction] = {}
        self.lives = 1  # how often its log has begun anew
        self._began = 0  # what the log of now has in `wal` begins here
        self._next_txid = 100
        self._next_lsn = 1000

    # Statements. Each says whether it did something: what is locked by another transaction is left alone.

    def begin(self) -> Transaction:
        """A new transaction."""
        transaction = Transaction(self._next_txid)
        self._next_txid += 1
        self.open.append(transaction)
        return transaction

    def seen(self, transaction: Transaction, key: int) -> str | None:
        """A key's value as the transaction sees it."""
        return transaction.rows[key] if key in transaction.rows else self.rows.get(key)

    def write(self, transaction: Transaction, key: int, value: str, *, partial: bool = False) -> bool:
        """INSERT or UPDATE. partial: an unchanged TOAST value is left out of the log."""
        if not self._lock(transaction, key):
            return False
        partial = partial and self.seen(transaction, key) is not None
        self._change(transaction, Change(key, value, self._lsn(), partial))
        return True

    def delete(self, transaction: Transaction, key: int) -> bool:
        """DELETE, of a row that is there."""
        if not self._lock(transaction, key) or self.seen(transaction, key) is None:
            return False
        self._change(transaction, Change(key, None, self._lsn()))
        return True

    def truncate(self, transaction: Transaction, keys: Iterable[int]) -> bool:
        """TRUNCATE, where nobody else uses the table: it would wait for them."""
        if self.open != [transaction]:
            return False
        self._locks.update(dict.fromkeys(keys, transaction))
        transaction.changes.append(Change(ALL_KEYS, None, self._lsn()))
        transaction.rows.update(dict.fromkeys(keys))
        return True

    def rotate(self, transaction: Transaction, keys: list[int]) -> bool:
        """Key changes under a deferrable constraint: each row takes the next one's key; the last key is new, or the
        first one (a swap). The log has per row the delete of the old key, then the create of the new, at one position;
        so a key's create can come before the delete of the row that had it before.
        """
        sources, targets = keys[:-1], keys[1:]
        if not all(self._lock(transaction, key) for key in keys):
            return False
        values = [self.seen(transaction, key) for key in sources]
        if None in values or (keys[-1] != keys[0] and self.seen(transaction, keys[-1]) is not None):
            return False
        for source, target, value in zip(sources, targets, values, strict=True):
            lsn = self._lsn()
            transaction.changes += [Change(source, None, lsn), Change(target, value, lsn)]
        transaction.rows.update(dict.fromkeys(sources))
        transaction.rows.update(zip(targets, values, strict=True))
        return True

    def insert_early(self, transaction: Transaction, key: int) -> bool:
        """An INSERT writes its heap record, and then waits on another unique index while others use the key."""
        if transaction.changes or transaction.waiting or any(_truncates(each) for each in self.open):
            return False
        transaction.waiting = (key, self._lsn())
        return True

    def insert_late(self, transaction: Transaction, value: str) -> bool:
        """The INSERT that waited goes through, with the old position, if the key is free by now."""
        assert transaction.waiting is not None
        key, lsn = transaction.waiting
        if not self._lock(transaction, key) or self.seen(transaction, key) is not None:
            return False
        transaction.waiting = None
        self._change(transaction, Change(key, value, lsn))
        return True

    def commit(self, transaction: Transaction) -> None:
        """Into the log; `show` makes it visible."""
        transaction.committed = True
        before = {key: self.rows.get(key) for key in transaction.rows}
        changes = tuple(sorted(transaction.changes, key=_position))
        self.wal.append(Commit(transaction.txid, changes, before, dict(transaction.rows)))
        self.on_commit()

    def show(self, transaction: Transaction) -> None:
        """Other sessions see a committed transaction, and its locks are gone."""
        for key, value in transaction.rows.items():
            self._set(key, value)
        self._end(transaction)

    def rollback(self, transaction: Transaction) -> None:
        """As if it had not been. Its changes never get into the log."""
        self._end(transaction)

    def fence(self) -> int:
        """A logical message in a transaction of its own; the log's length with it."""
        self._next_txid += 1
        self.wal.append(Commit(self._next_txid - 1, (), {}, {}))
        return len(self.wal)

    def others(self, count: int) -> None:
        """Transactions of others, on other tables."""
        self._next_txid += count

    def fail_over(self, lost: int) -> set[int]:
        """A standby takes over, without the last `lost` commits; positions and transaction ids are given again.

        Returns the keys whose changes are gone.
        """
        gone = self._go_back(lost)
        mine = self.wal[self._began :]
        if mine:
            self._next_txid = max(commit.txid for commit in mine) + 1
            self._next_lsn = max((c.lsn for commit in mine[-20:] for c in commit.changes), default=self._next_lsn) + 1
        return gone

    def restore(self, lost: int, txid: int, lsn: int) -> set[int]:
        """The rows as they were `lost` commits ago, in another cluster, whose ids and positions go on from there.

        Returns the keys whose changes are gone.
        """
        gone = self._go_back(lost)
        self._began = len(self.wal)
        self._next_txid, self._next_lsn = txid, lsn
        return gone

    def _go_back(self, lost: int) -> set[int]:
        self.lives += 1
        for transaction in [each for each in self.open if each.committed]:
            self.show(transaction)
        for transaction in list(self.open):
            self._end(transaction)
        gone: set[int] = set()
        for _ in range(min(lost, len(self.wal) - self._began)):
            commit = self.wal.pop()
            for key, value in commit.before.items():
                self._set(key, value)
                gone.add(key)
        self.on_commit()
        return gone

    # What others read.

    def snapshot(self) -> Snapshot:
        """What `pg_current_snapshot()` would say."""
        running = frozenset(transaction.txid for transaction in self.open)
        return Snapshot(min(running, default=self._next_txid), self._next_txid, running, self._next_lsn)

    def row(self, key: int) -> Row | None:
        """The row the replica must have, as of what is visible now."""
        return row_of(key, self.rows.get(key))

    def committed_row(self, key: int) -> Row | None:
        """The same, as of what is in the log."""
        for transaction in self.open:
            if transaction.committed and key in transaction.rows:
                return row_of(key, transaction.rows[key])
        return self.row(key)

    def _lock(self, transaction: Transaction, key: int) -> bool:
        return self._locks.setdefault(key, transaction) is transaction

    def _change(self, transaction: Transaction, change: Change) -> None:
        transaction.changes.append(change)
        transaction.rows[change.key] = change.value

    def _lsn(self) -> int:
        self._next_lsn += 8
        return self._next_lsn

    def _set(self, key: int, value: str | None) -> None:
        if self.rows.get(key) != value:
            self.changed[key] = self.changed.get(key, 0) + 1
        if value is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = value

    def _end(self, transaction: Transaction) -> None:
        self.open.remove(transaction)
        self._locks = {key: holder for key, holder in self._locks.items() if holder is not transaction}


def _truncates(transaction: Transaction) -> bool:
    return any(change.key == ALL_KEYS for change in transaction.changes)


def _position(change: Change) -> int:
    return change.lsn


def op_of(change: Change) -> Op:
    """What the record of a change says."""
    return Op.delete if change.value is None else Op.upsert


def keys_of(commits: Iterable[Commit]) -> set[int]:
    """The keys that these transactions changed."""
    return {key for commit in commits for key in commit.before}
