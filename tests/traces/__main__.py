"""`python -m tests.traces`: bring each situation about on a stack of its own, and print what arrived, as Markdown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streams.local.stack import Stack
from tests.conftest import GIVEN
from tests.support.folders import server_folder
from tests.traces import situations
from tests.traces.seen import table
from tests.traces.site import Site
from tests.traces.situations import Trace

# By the headings of docs/debezium.md.
SITUATIONS = {
    "Sent again after a kill": situations.killed_in_mid_stream,
    "lastCommit after a restart": situations.last_commit_after_restarts,
    "After a new snapshot": situations.snapshot_again,
    "Reads in a window": situations.reads_in_a_window,
    "A later commit with the smaller lsn": situations.later_commit_with_the_smaller_lsn,
    "Keys that move": situations.keys_that_move,
    "TRUNCATE": situations.truncated,
    "Messages and rows": situations.messages_and_rows,
}


@contextmanager
def running_stack() -> Iterator[Stack]:
    """The one that is given, or one that is removed afterwards."""
    given = os.environ.get(GIVEN)
    with server_folder() as folder, ExitStack() as after:
        stack = Stack(Path(given) if given else folder / "stack")
        stack.up()
        if not given:
            after.callback(stack.down, wipe=True)
        yield stack


def told(heading: str, trace: Trace) -> str:
    """The trace under its heading."""
    facts = "\n".join(f"* {name}: {value}" for name, value in trace.facts.items())
    shown = trace.records if trace.shown is None else trace.shown
    parts = (f"## {heading}", facts, table(shown) if shown else "")
    return "\n\n".join(part for part in parts if part)


def main(wanted: list[str]) -> int:
    """0; words: those of these headings only."""
    with running_stack() as stack, server_folder() as folder:
        site = Site(stack, folder)
        try:
            site.start()
            for heading, situation in SITUATIONS.items():
                if not wanted or heading in wanted:
                    print(f"{told(heading, situation(site))}\n", flush=True)
        finally:
            site.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
