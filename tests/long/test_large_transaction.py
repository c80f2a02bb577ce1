"""One transaction of a million rows: it is applied in batches, in bounded memory, and found right."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.local.stack import Stack
from tests.support.bank import Bank

pytestmark = [pytest.mark.long, pytest.mark.stack, pytest.mark.timeout(900)]
ROWS = 1_000_000
# A version table for a million keys, and batches of 5,000 rows.
MEMORY_MIB_MAX = 600
DDL = "CREATE TABLE row (id int PRIMARY KEY, n int, note text)"


@pytest.fixture
def bank(shared_stack: Stack, tmp_path: Path) -> Iterator[Bank]:
    """One table, one Postgres replica, its worker."""
    made = Bank(shared_stack, tmp_path, DDL, {"public.row": ["id"]}, {"reports": {"public.row": {}}})
    try:
        made.apply()
        yield made
    finally:
        made.close()


def peak_mib(pid: int) -> int:
    """The most memory a process has had resident."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def change(bank: Bank) -> None:
    """All of it in one transaction, until it is applied."""
    with bank.sot.transaction():
        bank.sot.execute("UPDATE row SET n = -n")
        bank.sot.execute("DELETE FROM row WHERE id <= 1000")
    bank.wait_caught_up("reports", seconds=400)


def test_a_million_rows_in_one_transaction_are_applied_and_found_right(bank: Bank) -> None:
    """Inserted by one, changed by another; how long it took, and the worker's memory, are on stderr."""
    worker = bank.worker("reports")
    bank.sot.execute(f"INSERT INTO row SELECT n, n, 'note ' || n FROM generate_series(1, {ROWS}) n".encode())
    inserted = seconds(lambda: bank.wait_caught_up("reports", seconds=400))
    changed = seconds(lambda: change(bank))
    (run,) = bank.validate("--depth", "checksums")
    assert (run["outcome"], run["verified"]) == ("correct", ROWS - 1000)
    peak = peak_mib(worker.process.pid)
    sys.stderr.write(
        f"{ROWS:,} rows: inserted, applied {inserted:.0f} s after the commit; changed, {changed:.0f} s with the "
        f"statements; validated in {run['seconds']:.0f} s; worker's peak {peak} MiB\n"
    )
    assert peak < MEMORY_MIB_MAX
