"""What a backfill costs, and whom, beside an incremental snapshot of the connector (decision 18)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from streams.local.stack import Stack
from tests.support.bank import Bank
from tests.support.processes import Worker
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(1800)]
TABLE, ROWS = "public.account", 20_000
TOWN = f"""
CREATE TABLE account (id int PRIMARY KEY, owner text, balance numeric(12,2), opened date, note text);
INSERT INTO account SELECT n, 'owner ' || n, n / 7.0, '2000-01-01'::date + n % 9000, repeat(md5(n::text), 4)
  FROM generate_series(1, {ROWS}) n;
"""
FAST = {TABLE: {"repair": {"automatic": [], "rows_per_second": 100_000}}}
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def bank(shared_stack: Stack, tmp_path: Path) -> Iterator[Bank]:
    made = Bank(shared_stack, tmp_path, TOWN, {TABLE: ["id"]}, {"reports": FAST, "cache": FAST},
                source={"reads_per_second": 100_000})  # fmt: skip
    yield made
    made.close()


class Cost:
    """CPU seconds of the workers, records that the topics took, and the time."""

    def __init__(self, bank: Bank, workers: dict[str, Worker]) -> None:
        self._bank = bank
        self._workers = workers
        self._before = self._now()
        self.told: dict[str, float] = {}

    def _now(self) -> dict[str, float]:
        cpu = {f"cpu of {name}": _cpu(worker.process.pid) for name, worker in self._workers.items()}
        records = sum(end for end in self._bank.ends(TABLE).values())
        return {"seconds": time.monotonic(), "records": records, **cpu}

    def end(self) -> None:
        """Look again."""
        self.told = {name: round(value - self._before[name], 2) for name, value in self._now().items()}


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def cost(bank: Bank, workers: dict[str, Worker]) -> Iterator[Cost]:
    """Of what is done inside."""
    counted = Cost(bank, workers)
    yield counted
    counted.end()


def test_a_backfill_beside_an_incremental_snapshot(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    """An emptied store is filled by one and not by the other; only the other is work for every replica."""
    bank.apply()
    bank.control()
    workers = {name: bank.worker(name) for name in ("reports", "cache")}
    for name in workers:
        bank.wait_caught_up(name, seconds=300)
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        count: Any = lambda: replica.execute("SELECT count(*) FROM account").fetchone()[0]  # type: ignore[index]  # noqa: E731
        replica.execute("TRUNCATE account")
        before = sum(bank.ends(TABLE).values())
        with cost(bank, workers) as snapshot:
            bank.signal_snapshot(TABLE)
            wait_until(lambda: sum(bank.ends(TABLE).values()) >= before + ROWS, "every row to be sent again", 600)
            for name in workers:
                bank.wait_caught_up(name, seconds=300)
        filled = count()
        with cost(bank, workers) as backfill:
            _order(bank)
            _wait_ended(bank, 1)
        filled_in = _seconds(bank)
        whole = count()
        with cost(bank, workers) as again:
            _order(bank, "--from", "id=1")
            _wait_ended(bank, 2)
        looked_in = _seconds(bank)
    with capsys.disabled():
        print(f"\n{ROWS} rows of an emptied Postgres replica")
        print(f"incremental snapshot: {snapshot.told}, {filled} rows are there after it")
        print(
            f"backfill:             {backfill.told}, {filled_in} s of them in the worker, {whole} rows are there after it"
        )
        print(f"backfill, all right:  {again.told}, {looked_in} s of them in the worker")
    assert (filled, whole) == (0, ROWS)
    assert backfill.told["records"] == again.told["records"] == 0


def _order(bank: Bank, *words: str) -> None:
    about = ("--replica", "reports", "--table", TABLE, *words)
    bank.done("repair", "backfill", *about, "--yes", "--no-wait", "--reason", "to measure it")


def _seconds(bank: Bank) -> float:
    """From the last order to the last partition that was done."""
    at = {kind: max(e["at"] for e in bank.events("signals") if e["type"] == f"backfill-{kind}")
          for kind in ("ordered", "ended")}  # fmt: skip
    return float(round((at["ended"] - at["ordered"]).total_seconds(), 1))


def _wait_ended(bank: Bank, times: int) -> None:
    def ended() -> int:
        return sum(event["type"] == "backfill-ended" for event in bank.events("signals"))

    wait_until(lambda: ended() == 2 * times, "both partitions to be done", 600)
