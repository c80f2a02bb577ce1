"""The `checksums` depth between two Postgres servers: each hashes its own rows, owners are asked about what differs.

One snapshot of the SOT, and one of the replica, taken when every owner has applied what was in Kafka before both: what
is equal in them is right through the position that the slot had confirmed by then, so that no fence is waited for while
nothing differs. Keys that differ (also because they were changed in between) go to their owners exactly as those of a
full run do; what the SOT's snapshot shows of them is the first of two looks (docs/decisions/0020-checksums-in-sql.md).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from streams.replicas.base import InSql, Refused
from streams.rows.canonical import encode
from streams.sot.connection import SotChanged
from streams.sot.reader import Hashing
from streams.validation.hashes import Counted, Hashes, NotAlike
from streams.validation.report import Report
from streams.validation.rounds import CHUNK_KEYS, SUSPECTS_MAX, Rounds, portions
from streams.validation.target import Target


@dataclass(slots=True)
class _Seen:
    """What the hashes say. suspects: digests of keys that differ, as the SOT's snapshot shows them (b"": no row).

    right: rows of the SOT that the replica has. beyond: keys that differ, for which there was no room.
    """

    counted: Counted
    fence: str
    suspects: dict[bytes, bytes] = field(default_factory=dict)
    right: int = 0
    beyond: int = 0


def checksums(target: Target, report: Report) -> None:
    """Fill the report; as a full run does where the servers cannot hash alike."""
    rounds = Rounds(target, report)
    store = target.store
    if not isinstance(store, InSql) or not _is_ours(target):
        rounds.full()
        return
    # Kafka has everything before it, and what is there when the ends are noted is applied before the replica is read.
    through = target.fence.confirmed() or target.fence.passed(target.deadline())
    before = target.ends()
    try:
        seen = _compared(target, store, rounds, before)
    except (NotAlike, SotChanged, Refused):
        # Whatever it is that one of them cannot do in SQL: row by row it can, or says why not.
        rounds.full()
        return
    report.fence_lsn = through
    report.sot_rows, report.replica_rows = seen.counted.sot_rows, seen.counted.replica_rows
    report.verified = seen.right
    target.progress(seen.right)
    if seen.suspects or seen.beyond:
        target.fence.confirmed_by(seen.fence, target.deadline())
        found = rounds.look(seen.suspects, before, target.ends())
        found.beyond += seen.beyond
        rounds.again(found)


def _is_ours(target: Target) -> bool:
    """Whether the replica holds what its owners have put there, all of it, and nothing is to be written beside it."""
    return not (target.absent_allowed or target.others_write or target.stamp)


def _compared(target: Target, store: InSql, rounds: Rounds, before: list[int]) -> _Seen:
    with ExitStack() as stack:
        source = stack.enter_context(target.sot.hashing())
        # After the SOT's snapshot: whatever that shows is in Kafka when it has passed. Nobody waits for it yet.
        fence = target.fence.emitted()
        hashes = Hashes(source.asked, stack.enter_context(store.hashing()))
        seen = _Seen(hashes.counted(lambda: rounds.passed(before)), fence)
        seen.right = seen.counted.sot_rows
        for differing in hashes.differing(seen.counted):
            seen.right -= differing.sot_rows
            _remember(target, source, seen, differing.keys)
        return seen


def _remember(target: Target, source: Hashing, seen: _Seen, keys: list[bytes]) -> None:
    room = SUSPECTS_MAX - len(seen.suspects)
    seen.beyond += max(0, len(keys) - room)
    for some in portions(keys[:room], CHUNK_KEYS):
        rows = source.read(some).rows
        for key in some:
            row = rows.get(key)
            seen.suspects[key] = b"" if row is None else target.digester.digest(key, encode(row))
