"""How a process ends, and how much its libraries may say."""

from __future__ import annotations

import logging
import subprocess
import sys

from streams.agents.process import LINES_EVERY_SECONDS, LINES_MAX, Sparing

STUCK = """
import threading
from streams.agents.process import end_within
threading.Thread(target=threading.Event().wait).start()
end_within(0.1)
"""


def test_what_does_not_end_by_itself_is_ended() -> None:
    """A thread of a client that waits for a dead broker would keep the process for ever."""
    ran = subprocess.run((sys.executable, "-c", STUCK), capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert "not ended after 0.1 s" in ran.stderr


def record(name: str, line: int) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "client.py", line, "no broker %s", ("one",), None)


def test_a_flood_of_one_line_is_bounded_and_counted() -> None:
    """Nothing is left out unsaid: the next line that is written tells how many were not."""
    times = iter([0.0] * 100 + [LINES_EVERY_SECONDS])
    sparing = Sparing(lambda: next(times))
    written = [sparing.filter(record("aiokafka", 7)) for _ in range(100)]
    assert written == [True] * LINES_MAX + [False] * (100 - LINES_MAX)
    later = record("aiokafka", 7)
    assert sparing.filter(later)
    assert later.getMessage() == f"no broker one (and {100 - LINES_MAX} more like it in {LINES_EVERY_SECONDS:.0f} s)"


def test_other_lines_and_our_own_are_always_written() -> None:
    """Each place in the code has a bound of its own; what holdtrue says has none."""
    sparing = Sparing(lambda: 0.0)
    assert all(sparing.filter(record("aiokafka", line)) for line in range(100))
    assert all(sparing.filter(record("streams.agents", 7)) for _ in range(100))
