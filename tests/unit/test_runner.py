"""`make test`: no end of a pytest but a good one is taken for one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import __main__ as runner
from tests.conftest import pytest_configure as configured
from tests.support.wait import wait_until


@pytest.mark.parametrize(("ending", "code"), [("true", 0), ("exit 1", 1), ("kill -9 $$", 1)])
def test_every_group_counts(
    ending: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that the kernel has killed: its code is negative."""
    folder = runner.SERVERS[0]
    monkeypatch.setattr(runner, "PYTEST", ("sh", "-c", f'case "$*" in *{folder}*) {ending};; esac', "pytest"))
    assert runner.main([]) == code
    assert "all tests took" in capsys.readouterr().out


def test_a_pytest_that_is_terminated_puts_away_what_its_fixtures_started(tmp_path: Path) -> None:
    """Servers that outlive their test keep ports and memory of whoever ran it."""
    (tmp_path / "conftest.py").write_text(
        f"from {configured.__module__} import pytest_configure\n__all__ = ['pytest_configure']\n"
    )
    (tmp_path / "test_slow.py").write_text(
        "import pathlib, pytest, time\n"
        "@pytest.fixture\n"
        "def server():\n"
        "    pathlib.Path('begun').touch()\n"
        "    yield\n"
        "    pathlib.Path('ended').touch()\n"
        "def test_it(server):\n"
        "    time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(runner.__file__).parents[1])}
    words = (
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        ".",
        "test_slow.py",
    )
    process = subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    wait_until((tmp_path / "begun").exists, "the fixture to have begun")
    process.terminate()
    assert process.wait(30) == pytest.ExitCode.INTERRUPTED
    assert (tmp_path / "ended").exists()
