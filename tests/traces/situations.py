"""What is done to the source or the connector, and what arrives of it. Nothing is asserted here."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.support.wait import wait_until
from tests.traces.seen import TOMBSTONE, Seen
from tests.traces.site import Site

ROUNDS = 10


@dataclass(frozen=True)
class Trace:
    """What arrived. facts: what else is to be known of it, in words; shown: the records of it that tell the most."""

    records: Sequence[Seen]
    facts: Mapping[str, object] = field(default_factory=dict)
    shown: Sequence[Seen] | None = None


def killed_in_mid_stream(site: Site) -> Trace:
    """SIGKILL of Kafka Connect while transactions of 300 rows are sent, and what it sends again."""
    site.look_away()
    with updates(site):
        wait_until(lambda: site.count("line") > 20_000, "the stream to flow")
        site.kill()
    before = site.count("line")
    stored = site.stored_offset()
    slot = site.slot_position()
    site.revive()
    records = site.arrived("line")
    again = sent_again(records)
    facts = {
        "stored offset": {name: stored[name] for name in ("lsn", "lsn_proc", "lsn_commit", "txId") if name in stored},
        "the slot's `confirmed_flush_lsn`": slot,
        "records before the kill": before,
        "records sent again": len(again),
        "of transactions": len({second.txid for _, second in again}),
        "the smallest of their positions": min((second.lsn or 0 for _, second in again), default=None),
        "of them with another `lastCommit` than before": sum(
            first.last_commit != second.last_commit for first, second in again
        ),
    }
    return Trace(records, facts, around_the_restart(records, again))


@contextmanager
def updates(site: Site) -> Iterator[None]:
    """Each transaction counts every row of `line` up by one, one after the other."""
    stop = threading.Event()

    def work() -> None:
        with psycopg.connect(site.bank.env["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
            while not stop.wait(0.02):
                sot.execute("UPDATE line SET n = n + 1")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def sent_again(records: Sequence[Seen]) -> list[tuple[Seen, Seen]]:
    """Changes that are there a second time: the first and the second record of each."""
    first: dict[tuple[Any, ...], Seen] = {}
    return [(first[each.change], each) for each in records if first.setdefault(each.change, each) is not each]


def of_key(records: Sequence[Seen], key: int) -> list[Seen]:
    """In the order of their partition."""
    return [each for each in records if each.id == key]


def around_the_restart(records: Sequence[Seen], again: Sequence[tuple[Seen, Seen]]) -> list[Seen]:
    """The records of the key that was sent again first: the last ones before, and the first ones after."""
    if not again:
        return []
    place = again[0][1]
    of_it = [each for each in of_key(records, place.id or 0) if each.partition == place.partition]
    at = of_it.index(place)
    return of_it[max(0, at - 3) : at + 3]


def last_commit_after_restarts(site: Site) -> Trace:
    """Two transactions each time: before, over a restart that ends well, over a SIGKILL at rest.

    The first one after a restart is committed before it, so that no message of ours is the first.
    """
    site.look_away()
    one_by_one(site)
    with site.stopped():
        count_up(site)
    one_by_one(site)
    site.kill()
    count_up(site)
    site.revive()
    one_by_one(site)
    return Trace(of_key(site.arrived("line"), 1))


def count_up(site: Site) -> None:
    """A transaction of one row."""
    site.bank.sot.execute("UPDATE line SET n = n + 1 WHERE id = 1")


def one_by_one(site: Site) -> None:
    """Two transactions; Kafka has what was committed before, and each before the next."""
    for _ in range(2):
        site.bank.wait_published()
        count_up(site)
    site.bank.wait_published()


def snapshot_again(site: Site) -> Trace:
    """Offsets deleted and a new snapshot, by the same slot.

    Row 2 is changed before, while there is no connector (-2), and after the snapshot (-3, -4). Row 3 is changed by a
    transaction that is open during the snapshot. Row 4 is deleted while there is no connector.
    """
    site.look_away()
    site.bank.sot.execute("UPDATE line SET n = -1 WHERE id = 2")
    site.bank.wait_published()
    with site.session() as long:
        site.forget()
        long.execute("UPDATE line SET n = -5 WHERE id = 3")
        site.bank.change("UPDATE line SET n = -2 WHERE id = 2", "DELETE FROM line WHERE id = 4")
        slot = site.slot_position()
        site.begin_anew()
        site.wait_streaming()
        site.bank.change("UPDATE line SET n = -3 WHERE id = 2", "UPDATE line SET n = -4 WHERE id = 2")
        long.commit()
    few = [each for key in (2, 3, 4) for each in of_key(site.arrived("line"), key)]
    facts = {"the slot's `confirmed_flush_lsn` before the snapshot": slot,
             "`sequence` of the first change after the very first snapshot": site.first.sequence}  # fmt: skip
    return Trace(few, facts)


def reads_in_a_window(site: Site) -> Trace:
    """An incremental snapshot whose chunk is read while two transactions are open, one of which commits in its window.

    Row 1: changed before the window is opened, row 2: when it is open, both by that transaction. Row 3: by one that is
    open all the time and commits when the reads have arrived. Row 4: not at all.
    """
    site.look_away()
    with site.session() as long, site.session() as inside:
        long.execute("UPDATE shelf SET note = 'of the long one' WHERE id = 3")
        inside.execute("UPDATE shelf SET note = 'before the window' WHERE id = 1")
        with held_reads(site) as let_go:
            inside.execute("UPDATE shelf SET note = 'in the window' WHERE id = 2")
            inside.commit()
            let_go()
        wait_until(lambda: any(each.id == 4 for each in site.arrived("shelf", all_of_it=False)), "the reads")
        long.commit()
    records = site.arrived("shelf")
    few = [each for key in (1, 2, 3, 4) for each in of_key(records, key)]
    return Trace(records, {"reads of 30 rows that arrived": len(reads(records))}, few)


@contextmanager
def held_reads(site: Site) -> Iterator[Callable[[], None]]:
    """An incremental snapshot that has opened its window reads nothing until it is let go."""
    filtered = {"data-collection": "public.shelf", "filter": "let_go()"}
    asked = {"type": "incremental", "data-collections": ["public.shelf"], "additional-conditions": [filtered]}
    with site.session() as lock:
        lock.execute("SELECT pg_advisory_xact_lock(7)")
        values = (uuid.uuid4().hex, json.dumps(asked))
        site.bank.sot.execute("INSERT INTO holdtrue.signal VALUES (%s, 'execute-snapshot', %s)", values)
        held = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_until(lambda: site.bank.sot.execute(held).fetchone() is not None, "the reads to be held")
        yield lock.commit


def reads(records: Sequence[Seen]) -> list[Seen]:
    """Those of an incremental snapshot."""
    return [each for each in records if each.snapshot == "incremental"]


def later_commit_with_the_smaller_lsn(site: Site) -> Trace:
    """An INSERT has written its row, and waits at a unique index; meanwhile the row with its key is deleted."""
    site.look_away()
    with site.session() as holder, site.session() as inserts:
        holder.execute("INSERT INTO late VALUES (2, 'second')")
        waiting = threading.Thread(target=lambda: inserts.execute("INSERT INTO late VALUES (1, 'second')"))
        waiting.start()
        blocked = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        pid = inserts.info.backend_pid
        wait_until(lambda: site.bank.sot.execute(blocked, [pid]).fetchone() is not None, "the INSERT to wait")
        site.bank.sot.execute("DELETE FROM late WHERE id = 1")
        holder.rollback()
        waiting.join(20)
        inserts.commit()
    return Trace(site.arrived("late"))


def keys_that_move(site: Site) -> Trace:
    """Under a deferrable primary key: two rows change places, three move on by one, one goes and comes back."""
    site.look_away()
    site.bank.change(
        "UPDATE chain SET id = 3 - id WHERE id IN (1, 2)",
        "UPDATE chain SET id = id + 1 WHERE id BETWEEN 18 AND 20",
    )
    with site.bank.sot.transaction():
        site.bank.change("DELETE FROM chain WHERE id = 10", "INSERT INTO chain VALUES (10, 'again')")
    records = site.arrived("chain")
    # A change of a key is sent as a delete and then a create, of one position.
    in_log_order = sorted(records, key=lambda each: (each.lsn or 0, each.op != "d"))
    return Trace(records, {}, [each for each in in_log_order if each.op != TOMBSTONE])


def truncated(site: Site) -> Trace:
    """A transaction inserts, truncates and inserts."""
    site.look_away()
    with site.bank.sot.transaction():
        site.bank.change(
            "INSERT INTO gone SELECT n, 'before' FROM generate_series(11, 16) n",
            "TRUNCATE gone",
            "INSERT INTO gone SELECT n, 'after' FROM generate_series(21, 26) n",
        )
    return Trace(site.arrived("gone"))


def messages_and_rows(site: Site) -> Trace:
    """A message after 3,000 rows of 1.5 kB in the same transaction: when Kafka has appended which."""
    site.note_when_appended("public.line", "message")
    late = [rows_after_their_message(site) for _ in range(ROUNDS)]
    facts = {
        "rounds": ROUNDS,
        "rounds in which rows came to Kafka after the message": sum(after > 0 for after, _ in late),
        "rounds in which rows were missing when the slot had confirmed the message": sum(lost > 0 for _, lost in late),
    }
    return Trace([], facts)


def rows_after_their_message(site: Site) -> tuple[int, int]:
    """How many rows came to Kafka after the message, and how many when the slot had confirmed it."""
    site.look_away()
    known, rows = len(site.messages()), 0
    with site.bank.sot.transaction():
        for _ in range(10):
            rows += site.bank.sot.execute("UPDATE line SET n = n + 1").rowcount
        site.bank.sot.execute("SELECT pg_logical_emit_message(true, 'holdtrue', 'traces')")
    site.bank.wait_published()
    came = site.count("line")
    told = site.messages()[known]
    return sum(each > told for each in site.appended("line")), rows - came
