"""Progress of `up` for a person: a download bar and a line per service, on stderr."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class Reporter(Protocol):
    """Where `Stack.up` says how far it is. Called from several threads."""

    def downloading(self, files: int, size: int) -> AbstractContextManager[Bar]:
        """Downloads of `files` files of `size` bytes together begin; the result counts the bytes."""

    def say(self, text: str) -> None:
        """Something happened that a person waiting wants to know."""


class Bar(Protocol):
    """Counts downloaded bytes."""

    def advance(self, size: int) -> None:
        """`size` more bytes arrived (negative: a download was given up and starts again)."""


class Silent:
    """A reporter, and its bar, that say nothing."""

    def downloading(self, files: int, size: int) -> Self:
        """Count nothing."""
        return self

    def say(self, text: str) -> None:
        """Say nothing."""

    def advance(self, size: int) -> None:
        """Count nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class ConsoleReporter:
    """Shows a bar where stderr is a terminal, and single lines everywhere."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def downloading(self, files: int, size: int) -> AbstractContextManager[Bar]:
        """A bar over all downloads together."""
        self.say(f"fetching {files} files, {size / 1e6:.0f} MB")
        return _RichBar(self._console, size)

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False)


class _RichBar:
    def __init__(self, console: Console, size: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), console=console)
        self._task = self._progress.add_task("downloading", total=size)

    def advance(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
