"""Why a server ended: from its log, or from a disk too full to write one."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.local import endings


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with one line."""
    file = tmp_path / "kafka.log"
    file.write_text("starting\n")
    return file


def _free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(endings, "free_bytes", lambda _: size)


def test_a_log_that_could_not_be_written_is_the_disks(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies on the disk that is full: what it would say is lost."""
    _free(monkeypatch, 0)
    assert endings.ending(log, 0).reason == "the disk is full"
    assert endings.ending(log.with_name("none.log"), 0).reason == "the disk is full"
    _free(monkeypatch, 1_000_000_000)
    assert endings.ending(log, 0).reason == "see the end of its log"


def test_what_the_log_says_goes_first(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a disk that has little room; and only what this start wrote."""
    _free(monkeypatch, 0)
    start = endings.size(log)
    log.write_text(log.read_text() + "bind: Address already in use\n")
    assert "its port is taken" in endings.ending(log, start).reason
    assert endings.ending(log, endings.size(log)).reason == "the disk is full"


def test_an_error_of_the_file_system_has_the_same_words() -> None:
    """Whoever meets it: a server, or what starts it."""
    assert endings.refusal(OSError(28, "No space left on device")).reason == "the disk is full"
    assert endings.refusal(OSError(24, "Too many open files")).reason == "Too many open files"
