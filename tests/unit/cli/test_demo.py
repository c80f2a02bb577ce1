"""What the demo says while its servers start, and what it leaves when they do not."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli.program import composed
from streams.demo import command
from streams.demo.command import CommandLine, StepFailed
from streams.local.errors import StackError
from streams.local.progress import Reporter
from streams.local.stack import Stack


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def failing(logs: bool) -> object:
    """An `up` that tells of a download, and fails; `logs`: after a server has written its log."""

    def up(stack: Stack, progress: Reporter) -> None:
        (stack.data / "logs").mkdir(parents=True)
        (stack.data / "holdtrue-stack").touch()
        if logs:
            (stack.data / "logs" / "sot.log").touch()
        with progress.downloading(3, 270_000_000):
            raise StackError("It is broken.", "Mend it.")

    return up


@pytest.mark.parametrize(("words", "said"), [((), True), (("--format", "json"), True), (("--quiet",), False)])
def test_downloads_and_servers_are_told_on_stderr(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: bool
) -> None:
    """Minutes of silence would look like standing still; stdout is for the answer."""
    monkeypatch.setattr(Stack, "up", failing(logs=False))
    result = CliRunner().invoke(composed(), [*words, "demo"])
    assert isinstance(result.exception, StackError)
    assert ("fetching 3 files, 270 MB" in result.stderr) is said


@pytest.mark.parametrize("logs", [False, True])
def test_a_demo_that_breaks_off_answers_scripts_all_the_same(monkeypatch: pytest.MonkeyPatch, logs: bool) -> None:
    """One object, which says what broke; a person is told by the error alone."""
    monkeypatch.setattr(Stack, "up", failing(logs))
    result = CliRunner().invoke(composed(), ["--format", "json", "demo"])
    told = json.loads(result.stdout)
    assert (told["ok"], told["wrong"], told["drift"]["planted"]) == (False, ["It is broken."], 0)
    assert isinstance(result.exception, StackError)
    assert CliRunner().invoke(composed(), ["demo"]).stdout == ""


def test_what_is_waited_for_in_vain_ends_the_demo_with_1(tmp_path: Path) -> None:
    """It has no drift to report by an exit code of its own."""
    line = CommandLine(tmp_path / "plan.yaml", {}, tmp_path, lambda text: None)
    with pytest.raises(StepFailed, match="Waited 0 s in vain for: nothing") as caught:
        line.wait_for("nothing", lambda: False, 0)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("logs", [False, True])
def test_a_demo_that_started_no_server_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, temporary: Path, logs: bool
) -> None:
    """Where one was started, its log stays and is named."""
    monkeypatch.setattr(Stack, "up", failing(logs))
    result = CliRunner().invoke(composed(), ["demo"])
    left = list(temporary.glob("holdtrue-demo-*"))
    assert bool(left) is logs
    assert ("are left in" in result.stderr) is logs


def test_a_command_that_does_not_end_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with something else is no traceback."""
    monkeypatch.setattr(command, "COMMAND_SECONDS", 0.1)
    monkeypatch.setattr(CommandLine, "_words", lambda *_: ["sleep", "60"])
    line = CommandLine(tmp_path / "plan.yaml", {}, tmp_path, lambda text: None)
    with pytest.raises(StepFailed, match=r"holdtrue validate did not end in 0.1 s"):
        line.run("validate")
