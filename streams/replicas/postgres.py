"""A table in a Postgres replica: COPY into a batch table, then one guarded merge, in one transaction (ADR 0002)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any

import psycopg
from psycopg.sql import Composed

from streams.checks.request import RUN_SECONDS_MAX
from streams.plan.mapping import Shape
from streams.replicas.base import APPLIED, Held, Outcome, Refused, Result, Write
from streams.replicas.postgres_errors import RowRefused, blames_row, row_reason
from streams.replicas.postgres_log import Logged
from streams.replicas.postgres_prepare import check, prepare
from streams.replicas.postgres_session import Session, Sessions
from streams.replicas.postgres_sql import Statements
from streams.rows.canonical import decode
from streams.rows.hashes import SETTINGS, Asked, replica_side
from streams.rows.types import identifier
from streams.versions.entry import Token

FORGET_ROWS_MAX = 10_000
_ABSENT = Held(None, None)
# \\x starts a bytea in COPY's text; the token's fields at fixed width are its 16 bytes in hex.
_LIVE_LINE = b"%d\t\\\\x%08x%016x%08x\tt\t%b\n"
_DEAD_LINE = b"%d\t\\\\x%08x%016x%08x\tf\t%b\n"

Cursor = psycopg.Cursor[Any]


class PostgresTable:
    """One table of a Postgres replica; safe for threads. `target` is its name there, `schema.table`.

    watched: somebody else writes it, and here it is only looked at: no version table is needed, and no token is known.
    """

    def __init__(
        self,
        sessions: Sessions,
        shape: Shape,
        target: str,
        token_schema: str = "holdtrue",  # noqa: S107 - a schema's name
        *,
        watched: bool = False,
    ) -> None:
        self.shape = shape
        self.target = target
        self._sessions = sessions
        self._watched = watched
        self._sql = Statements(shape, target, token_schema, watched=watched)
        self._dead_cells = _DeadCells(shape)
        self._open = True
        sessions.enter()

    @property
    def logged(self) -> Logged:
        """The table as it is named in the replica's own log."""
        return Logged.of(self.shape, self._sql)

    def prepare(self) -> None:
        """Create or check target and version table; raises `Refused` naming column, expected and found type."""
        ready = check if self._watched else prepare
        with self._sessions.session() as session:
            ready(session.connection, self.shape, self._sql)

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """Guarded writes in one transaction; where a row cannot be stored, halves of the batch in their own."""
        assert not self._watched, "it is only looked at"
        if not writes:
            return []
        results = [APPLIED] * len(writes)
        # All workers take locks in the same order, so that they wait for each other and never in a circle.
        order = sorted(range(len(writes)), key=[write.key for write in writes].__getitem__)
        with self._sessions.session() as session:
            self._apply_part(session, [writes[place] for place in order], order, results)
        return results

    def overrule(self, key: bytes, expected: Token | None, write: Write) -> Result:
        """Write if the version row still carries `expected` (None: there is no version row)."""
        assert key == write.key
        assert not self._watched, "it is only looked at"
        with self._sessions.session() as session:
            try:
                with self._transaction(session) as cursor:
                    return self._overrule(cursor, expected, write)
            except RowRefused as refused:
                return Result(Outcome.refused, reason=refused.reason)

    def stamp(self, writes: Sequence[Write]) -> list[Result]:
        """Version rows for rows that are these. Where one is changed meanwhile, it is done again without that one.

        What has its token is only read: an adoption that is made again costs what a run costs.
        """
        assert not self._watched, "it is only looked at"
        results = [Result(Outcome.conflict)] * len(writes)
        held = self.read([write.key for write in writes])
        left: list[int] = []
        for place in sorted(range(len(writes)), key=[write.key for write in writes].__getitem__):
            write, there = writes[place], held.get(writes[place].key, _ABSENT)
            if write.row is None or there.row != write.row:
                continue
            if there.token is not None and there.token >= write.token:
                results[place] = _lost(write, there)
            else:
                left.append(place)
        if not left:
            return results
        with self._sessions.session() as session:
            while left:
                answers, changed = self._stamp(session, [writes[place] for place in left])
                if not changed:
                    for place, answer in zip(left, answers, strict=True):
                        results[place] = answer
                    break
                left = [place for number, place in enumerate(left) if number not in changed]
        return results

    def drop_tokens(self) -> int:
        """The version table is dropped."""
        with (
            self._sessions.session() as session,
            session.connection.transaction(),
            session.connection.cursor() as cursor,
        ):
            if cursor.execute(self._sql.find_versions, ()).fetchone() == (None,):
                return 0
            row = cursor.execute(self._sql.count_versions, ()).fetchone()
            cursor.execute(self._sql.drop_versions, ())
            assert row is not None
            return int(row[0])

    def _stamp(self, session: Session, writes: list[Write]) -> tuple[list[Result], set[int]]:
        """The answers; or the places of rows that are others by now, and nothing is stamped."""
        try:
            with self._transaction(session) as cursor:
                self._copy_writes(cursor, writes)
                # The version rows first: they keep away who writes under the guard, until the rows have been compared.
                lost = {place for (place,) in _run(cursor, self._sql.take).fetchall()}
                held = _held_by_place(_copy_out(cursor, self._sql.copy_held))
                changed = {place for place, write in enumerate(writes) if held.get(place, _ABSENT).row != write.row}
                if changed:
                    raise _Changed(changed)
                lose = [_lost(write, held[place]) for place, write in enumerate(writes)]
                return [lose[place] if place in lost else APPLIED for place in range(len(writes))], set()
        except _Changed as others:
            return [], others.places

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Held]:
        """Content and token of the keys, at one moment; keys without version row and data row are left out."""
        if not keys:
            return {}
        try:
            with self._sessions.session() as session, self._transaction(session) as cursor:
                payload = b"".join([b"%d\t%b\n" % (place, key) for place, key in enumerate(keys)])
                _copy_in(cursor, self._sql.copy_keys, payload)
                held = _held_by_place(_copy_out(cursor, self._sql.copy_held))
        except RowRefused as refused:
            raise Refused(
                f"Keys of {self.shape.table} cannot be looked up in its replica: {refused.reason}.",
                "Does the replica lack a value of an enum? Run `holdtrue plan check --live`.",
            ) from None
        return {keys[place]: each for place, each in held.items()}

    def scan(self, chunk: int) -> Iterator[list[tuple[bytes, Held]]]:
        """Live rows in the order of the key; each chunk is one read of its own, so none is held open in between."""
        marks: tuple[str | None, ...] = ()
        while True:
            lines = self._scan_chunk(marks, chunk)
            if lines:
                yield [self._scanned(line) for line in lines]
            if len(lines) < chunk:
                return
            marks = decode(self._key_of(lines[-1].split(b"\t", 1)[1]))

    def keys(self, chunk: int) -> Iterator[list[bytes]]:
        """Keys of all rows, in no order, from one read that streams while they are taken."""
        with self._whole_table() as cursor, closing(_copy_out(cursor, self._sql.list_keys)) as lines:
            while listed := list(islice(lines, chunk)):
                yield listed

    def count(self) -> int:
        """Number of rows of the target table."""
        with self._whole_table() as cursor:
            row = cursor.execute(self._sql.count, ()).fetchone()
            assert row is not None
            return int(row[0])

    @contextmanager
    def hashing(self) -> Iterator[Asked]:
        """This table as one snapshot shows it, which is taken at the first question."""
        with self._whole_table() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; {SETTINGS}".encode())
            side = replica_side(self.shape, identifier(self._sql.schema, self._sql.name))
            stop = cursor.connection.cancel_safe
            yield Asked(side, lambda query: _copy_out(cursor, f"COPY ({query}) TO STDOUT".encode()), stop)

    @contextmanager
    def _whole_table(self) -> Iterator[Cursor]:
        """For a statement that takes as long as the table is large."""
        with self._sessions.session() as session, session.connection.transaction():
            cursor = session.connection.cursor()
            cursor.execute(f"SET LOCAL statement_timeout = '{RUN_SECONDS_MAX}s'".encode())
            yield cursor

    def mark(self, prefix: str, content: bytes) -> None:
        """Put a mark into the replica's own log, behind every write that was answered."""
        with self._sessions.session() as session:
            session.connection.execute("SELECT pg_logical_emit_message(true, %s, %s)", (prefix, content))

    def forget_tombstones(self, older_than: timedelta) -> int:
        """Remove version rows that have been dead for longer, some at a time; gives how many, 0 when none is left."""
        if self._watched:
            return 0
        with self._sessions.session() as session:
            return session.connection.execute(self._sql.forget, (older_than, FORGET_ROWS_MAX)).rowcount

    def close(self) -> None:
        """Give back the connections; the last table of a replica closes them."""
        if self._open:
            self._open = False
            self._sessions.leave()

    def _apply_part(self, session: Session, writes: list[Write], places: list[int], results: list[Result]) -> None:
        """Bisection: at most twice as many transactions as there are writes, and few when few rows are bad."""
        try:
            with self._transaction(session) as cursor:
                lost = self._merge(cursor, writes)
        except RowRefused as refused:
            if len(writes) == 1:
                results[places[0]] = Result(Outcome.refused, reason=refused.reason)
                return
            half = len(writes) // 2
            self._apply_part(session, writes[:half], places[:half], results)
            self._apply_part(session, writes[half:], places[half:], results)
            return
        for place, result in lost.items():
            results[places[place]] = result

    def _merge(self, cursor: Cursor, writes: list[Write]) -> dict[int, Result]:
        """The guarded merge of ADR 0002; gives the answers of those who lost."""
        self._copy_writes(cursor, writes)
        places = [place for (place,) in _run(cursor, self._sql.take).fetchall()]
        answers = {}
        if places:
            held = _held_by_place(_copy_out(cursor, self._sql.copy_held_of, places))
            answers = {place: _lost(writes[place], held.get(place, _ABSENT)) for place in places}
            _run(cursor, self._sql.drop_lost, places)
        self._write_content(cursor, writes)
        return answers

    def _overrule(self, cursor: Cursor, expected: Token | None, write: Write) -> Result:
        self._copy_writes(cursor, [write])
        if expected is None:
            taken = _run(cursor, self._sql.take_absent).rowcount
        else:
            taken = _run(cursor, self._sql.take_expected, expected.encode()).rowcount
        if not taken:
            return _lost(write, _held_by_place(_copy_out(cursor, self._sql.copy_held)).get(0, _ABSENT))
        self._write_content(cursor, [write])
        return APPLIED

    def _write_content(self, cursor: Cursor, writes: list[Write]) -> None:
        """The data table, in statements of their own: they see what earlier holders of the version rows committed."""
        dead = sum(write.row is None for write in writes)
        if dead < len(writes):
            _run(cursor, self._sql.upsert)
        if dead:
            _run(cursor, self._sql.delete)

    def _copy_writes(self, cursor: Cursor, writes: list[Write]) -> None:
        dead_cells = self._dead_cells
        lines = [
            _LIVE_LINE % (place, *token, line) if row is not None else _DEAD_LINE % (place, *token, dead_cells(key))
            for place, (key, row, line, token) in enumerate(writes)
        ]
        _copy_in(cursor, self._sql.copy_writes, b"".join(lines))

    def _scan_chunk(self, marks: tuple[str | None, ...], chunk: int) -> list[bytes]:
        with self._sessions.session() as session, session.connection.cursor() as cursor:
            if not marks:
                return list(_copy_out(cursor, self._sql.scan_first, chunk))
            return list(_copy_out(cursor, self._sql.scan_next, *marks, chunk, *marks))

    def _scanned(self, line: bytes) -> tuple[bytes, Held]:
        token, _, content = line.partition(b"\t")
        return self._key_of(content), Held(_token(token), decode(content))

    def _key_of(self, content: bytes) -> bytes:
        cells = content.split(b"\t")
        return b"\t".join([cells[index] for index in self.shape.key_index])

    @contextmanager
    def _transaction(self, session: Session) -> Iterator[Cursor]:
        """One transaction with an empty batch table; raises RowRefused where a row is to blame for its failure."""
        connection = session.connection
        if self._sql.batch_name not in session.batches:
            connection.execute(self._sql.make_batch, ())
            session.batches.add(self._sql.batch_name)
        try:
            with connection.transaction(), connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:
            if blames_row(error):
                raise RowRefused(row_reason(error, self.shape.target_columns)) from None
            raise


class _Changed(Exception):
    """Rows are not what they were when they were compared; rolls back."""

    def __init__(self, places: set[int]) -> None:
        super().__init__()
        self.places = places


class _DeadCells:
    """The batch line of a delete: key cells in their places, everything else NULL."""

    def __init__(self, shape: Shape) -> None:
        self._index = shape.key_index
        self._nulls = [b"\\N"] * len(shape.target_columns)
        leading = shape.key_index == tuple(range(len(shape.key_index)))
        self._rest = b"\t\\N" * (len(self._nulls) - len(self._index)) if leading else None

    def __call__(self, key: bytes) -> bytes:
        if self._rest is not None:
            return key + self._rest
        cells = self._nulls.copy()
        # A tab inside a value is escaped, so the tabs here are the separators.
        for index, cell in zip(self._index, key.split(b"\t"), strict=True):
            cells[index] = cell
        return b"\t".join(cells)


def _run(cursor: Cursor, statement: Composed, *params: object) -> Cursor:
    # Not prepared: a plan kept from a small table would be a bad one for the table it grows into.
    return cursor.execute(statement, params, prepare=False)


def _copy_in(cursor: Cursor, statement: bytes, payload: bytes) -> None:
    with cursor.copy(statement) as copy:
        copy.write(payload)


def _copy_out(cursor: Cursor, statement: bytes | Composed, *params: object) -> Generator[bytes]:
    with cursor.copy(statement, params) as copy:
        for line in copy:
            yield bytes(line)[:-1]


def _held_by_place(lines: Iterator[bytes]) -> dict[int, Held]:
    held = {}
    for line in lines:
        place, token, present, content = line.split(b"\t", 3)
        held[int(place)] = Held(_token(token), decode(content) if present == b"t" else None)
    return held


def _token(cell: bytes) -> Token | None:
    """A token as COPY prints it, `\\\\x` and 32 hex digits, or NULL."""
    return None if cell == b"\\N" else Token.decode(bytes.fromhex(cell[3:].decode()))


def _lost(write: Write, held: Held) -> Result:
    if held.token != write.token:
        return Result(Outcome.stale, held.token)
    return Result(Outcome.duplicate if held.row == write.row else Outcome.conflict, held.token)
