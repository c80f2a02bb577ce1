"""Where files are kept, from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.local.fetch import Cache
from streams.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder, which is also where the process works; nothing else is set."""
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "HOLDTRUE_STACK_DIR", "HOLDTRUE_WORKER_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("value", [None, "", "relative", "./here"])
def test_a_base_directory_is_absolute_or_the_default(
    home: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """As its specification says of an empty or relative one."""
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME") if value is not None else ():
        monkeypatch.setenv(name, value or "")
    found = Settings()
    assert found.cache_dir == home / ".cache/holdtrue"
    assert found.stack_data_dir == home / ".local/state/holdtrue/stack"
    assert found.worker_data_dir == home / ".local/state/holdtrue/workers"


def test_an_absolute_base_directory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of them."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert (Settings().cache_dir, Settings().stack_data_dir) == (Path("/c/holdtrue"), Path("/s/holdtrue/stack"))


@pytest.mark.parametrize(("value", "place"), [("w", "w"), ("~/w", "w"), (".", ""), ("", ".local/state/holdtrue/{}")])
def test_a_folder_of_ours_is_absolute(home: Path, monkeypatch: pytest.MonkeyPatch, value: str, place: str) -> None:
    """Relative to where the command was typed; an empty name is none."""
    monkeypatch.setenv("HOLDTRUE_STACK_DIR", value)
    monkeypatch.setenv("HOLDTRUE_WORKER_DIR", value)
    assert Settings().stack_data_dir == home / place.format("stack")
    assert Settings().worker_data_dir == home / place.format("workers")


def test_the_cache_is_absolute(home: Path) -> None:
    """Class paths and links lead into it from other folders."""
    assert Cache(Path("c")).root == home / "c/maven"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it was meant to be unset."""
    monkeypatch.setenv("HOLDTRUE_UNKNOWN_SCHEMA_SECONDS", "")
    monkeypatch.setenv("HOLDTRUE_METRICS_PORT", "")
    assert (Settings().unknown_schema_seconds, Settings().metrics_port) == (60.0, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3"])
def test_metrics_are_served_where_somebody_says_so(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Else on the loopback address."""
    monkeypatch.delenv("HOLDTRUE_METRICS_HOST", raising=False)
    assert Settings().metrics_host == "127.0.0.1"
    monkeypatch.setenv("HOLDTRUE_METRICS_HOST", host)
    assert Settings().metrics_host == host


def test_nobodys_home_is_a_name_as_any_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell."""
    monkeypatch.setenv("HOLDTRUE_WORKER_DIR", "~nobody-of-this-name/w")
    assert Settings().worker_data_dir == home / "~nobody-of-this-name/w"
