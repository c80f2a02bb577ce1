"""A bar on stderr for a run that takes long, where a person sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from streams.validation.open import Pair, Watching


@contextmanager
def watching(console: Console) -> Iterator[Watching]:
    """Inside, each run has a bar that goes when it is over; none in a pipe, or with --quiet."""
    if not console.is_terminal or console.quiet:
        yield lambda pair, rows: lambda done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:

        def begin(pair: Pair, rows: Callable[[], int]) -> Callable[[int], None]:
            # About as many as there are: what the planner knows. None: a bar that only moves.
            for earlier in progress.tasks:
                progress.remove_task(earlier.id)
            task = progress.add_task(f"{pair.table} in {pair.replica}", total=rows() or None)
            return lambda done: progress.advance(task, done)

        yield begin
