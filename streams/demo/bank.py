"""The demo's source of truth: pgbench's bank, and its load, which leaves the first keys of every table alone."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from streams.errors import HoldtrueError

# Keys up to these are never touched by the load, so that drift planted there stays until it is repaired.
UNTOUCHED = {"pgbench_accounts": 1_000, "pgbench_tellers": 5, "pgbench_branches": 1}
KEYS = {"pgbench_accounts": "aid", "pgbench_tellers": "tid", "pgbench_branches": "bid"}
KEYED_CHANGES_PER_TRANSACTION = 3
CLIENTS = 4
INIT_SECONDS = 300
# The load ends by itself so long after its time, whatever becomes of who began it.
BEYOND_SECONDS = 600

_SCRIPT = """\
\\set aid random({accounts}, 100000 * {scale})
\\set tid random({tellers}, 10 * {scale})
\\set bid random({branches}, {scale})
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
"""
_PROCESSED = re.compile(r"number of transactions actually processed: (\d+)")


class LoadFailed(HoldtrueError):
    """pgbench did not do its work."""


@dataclass(frozen=True, slots=True)
class Bank:
    """The bank in one database; `pgbin` holds pgbench."""

    dsn: str
    pgbin: Path
    scale: int

    def create(self) -> None:
        """Tables and rows, by `pgbench -i`."""
        done = subprocess.run(
            [self.pgbin / "pgbench", "-i", "-q", "-s", str(self.scale), self.dsn],
            capture_output=True, text=True, timeout=INIT_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise LoadFailed(f"pgbench -i ended with {done.returncode}.", _last_line(done.stderr))

    def load(self, folder: Path, seconds: int, transactions_per_second: int) -> Load:
        """Begin the TPC-B transaction, at a steady rate, for at least so many seconds."""
        script = folder / "load.pgbench"
        script.write_text(
            _SCRIPT.format(
                scale=self.scale, accounts=UNTOUCHED["pgbench_accounts"] + 1,
                tellers=UNTOUCHED["pgbench_tellers"] + 1, branches=UNTOUCHED["pgbench_branches"] + 1,
            )
        )  # fmt: skip
        words = [
            str(self.pgbin / "pgbench"), "-n", "-f", str(script), "-c", str(CLIENTS), "-j", "1",
            "-R", str(transactions_per_second), "-T", str(seconds + BEYOND_SECONDS), self.dsn,
        ]  # fmt: skip
        log = folder / "pgbench.log"
        with log.open("w") as output:
            return Load(subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT), log, seconds)


@dataclass(slots=True)
class Load:
    """A running pgbench, which goes on until it is ended."""

    process: subprocess.Popen[bytes]
    log: Path
    # At least.
    seconds: int
    began: float = field(default_factory=time.monotonic)

    @property
    def running(self) -> bool:
        """Whether it still changes rows."""
        return self.process.poll() is None

    @property
    def lasted(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def end(self) -> tuple[int, float]:
        """End it in good order, not before its time: the keyed changes it made, and in how many seconds.

        Raises LoadFailed when it did not end well.
        """
        try:
            self.process.wait(max(self.seconds - self.lasted, 0))
        except subprocess.TimeoutExpired:
            # What its own -T would send it: it finishes its transactions and tells how many there were.
            self.process.send_signal(signal.SIGALRM)
        if self.process.wait(timeout=INIT_SECONDS) != 0:
            raise LoadFailed(f"pgbench ended with {self.process.returncode}.", f"See {self.log}.")
        found = _PROCESSED.search(self.log.read_text())
        if found is None:
            raise LoadFailed("pgbench did not say how many transactions it made.", f"See {self.log}.")
        return int(found.group(1)) * KEYED_CHANGES_PER_TRANSACTION, self.lasted

    def stop(self) -> None:
        """End it at once."""
        if self.running:
            self.process.kill()
            self.process.wait()


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
