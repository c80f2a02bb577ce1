"""The stack's answers while nothing runs, its lock, its password, and its environment."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli.doctor import Patient, examine
from streams.local import packages, site
from streams.local import stack as stack_module
from streams.local.artifacts import load_lock
from streams.local.endpoints import Endpoints
from streams.local.errors import NoStackError, ServiceError, StackError
from streams.local.exclusive import exclusive
from streams.local.fetch import Cache
from streams.local.findings import Finding, Outcome, judged
from streams.local.process import PidFile, Running, birth
from streams.local.redis import Redis
from streams.local.site import Site
from streams.local.stack import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """A stack that was never started."""
    return Stack(tmp_path / "data", tmp_path / "cache")


def test_a_stack_that_never_was_says_how_to_start_one(stack: Stack) -> None:
    """No files are made by asking."""
    with pytest.raises(NoStackError, match="no embedded stack") as caught:
        stack.endpoints()
    assert caught.value.exit_code == 3
    assert "holdtrue up" in caught.value.hint
    assert stack.services() == []
    assert not stack.data.exists()


def test_down_is_fine_without_a_stack(stack: Stack) -> None:
    """It reports that nothing ran."""
    assert stack.down(wipe=True) is False


@pytest.fixture
def orphan(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """A server that runs, of a stack whose files of ports and password are damaged."""
    (stack.data / "run").mkdir(parents=True)
    (stack.data / "logs").mkdir()
    (stack.data / stack_module._MARK).touch()
    for name in ("ports.json", "secrets.json"):
        (stack.data / name).write_text('{"a')
    with subprocess.Popen(["sleep", "600"]) as server:
        PidFile(site.pid_file(stack.data, "redis")).write(Running(server.pid, birth(server.pid) or ""))
        try:
            yield server
        finally:
            server.kill()


def test_down_needs_neither_ports_nor_password(stack: Stack, orphan: subprocess.Popen[bytes]) -> None:
    """Nothing else would end the servers, or delete what is damaged."""
    assert stack.down(wipe=True)
    assert orphan.wait(10) is not None
    assert not stack.data.exists()


def test_up_chooses_no_other_ports_beside_servers_that_run(stack: Stack, orphan: subprocess.Popen[bytes]) -> None:
    """Their files are theirs; whoever starts them again waits in vain."""
    (stack.data / "ports.json").unlink()
    with pytest.raises(StackError, match="ports that are not known any more") as caught:
        stack.up()
    assert "holdtrue down" in caught.value.hint
    assert orphan.poll() is None


def test_up_refuses_a_folder_with_other_files(stack: Stack) -> None:
    """A later wipe would delete them."""
    stack.data.mkdir()
    (stack.data / "thesis.txt").touch()
    with pytest.raises(StackError, match="not empty"):
        stack.up()


def test_wipe_never_deletes_a_folder_that_is_not_a_stack(stack: Stack) -> None:
    """Whatever --data-dir names."""
    stack.data.mkdir()
    (stack.data / "thesis.txt").touch()
    with pytest.raises(StackError, match="was not deleted"):
        stack.down(wipe=True)
    assert (stack.data / "thesis.txt").exists()


def test_up_checks_the_disk_first(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made where it would not fit."""
    monkeypatch.setattr("streams.local.disk.free_bytes", lambda _: 1000)
    with pytest.raises(StackError, match="Not enough disk space"):
        stack.up()
    assert not stack.data.exists()


def test_up_starts_nothing_on_a_full_disk(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a stack that is there: its servers could not write, nor their processes be remembered."""
    stack.data.mkdir()
    (stack.data / stack_module._MARK).touch()
    monkeypatch.setattr("streams.local.disk.free_bytes", lambda _: 1000)
    with pytest.raises(StackError, match="Not enough disk space for starting servers"):
        stack.up()
    assert not (stack.data / "ports.json").exists()


def test_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    """Here: a file where a folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="cannot be written"):
        Stack(tmp_path / "file" / "data", tmp_path / "cache").up()


def test_unknown_service_is_named_with_those_there_are(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """For fault tests that mistype."""
    monkeypatch.setattr(stack, "_known_ports", lambda: dict.fromkeys(stack_module._PORT_NAMES, 1))
    stack.data.mkdir()
    with pytest.raises(StackError, match="no service postgres") as caught:
        stack.kill("postgres")
    assert "sot" in caught.value.hint


def test_second_up_or_down_at_the_same_time_is_refused(stack: Stack) -> None:
    """And may run when the first is done."""
    with exclusive(stack.data), pytest.raises(StackError, match="at work on"):
        stack.down()
    stack.down()


def test_password_is_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    """Not even readable between creation and a later chmod."""
    made = site.password(tmp_path)
    assert site.password(tmp_path) == made
    assert len(made) >= 24
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_damaged_password_file_is_named_without_its_content(tmp_path: Path) -> None:
    """What is in it may still be the password."""
    (tmp_path / "secrets.json").write_text('{"postgres": "hunter2"')
    with pytest.raises(StackError, match="is damaged") as caught:
        site.password(tmp_path)
    assert "hunter2" not in str(caught.value)


def test_large_log_is_set_aside_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that logs stay bounded."""
    monkeypatch.setattr(site, "LOG_BYTES_MAX", 3)
    log = tmp_path / "kafka.log"
    log.write_text("long")
    site.turn_log(log)
    assert not log.exists()
    assert (tmp_path / "kafka.log.1").read_text() == "long"


def test_missing_package_names_the_command_that_installs_it() -> None:
    """The `local` extra is optional."""
    for ask in (packages.folder_of, packages.require):
        with pytest.raises(StackError, match="no_such_package") as caught:
            ask("no_such_package")
        assert caught.value.hint == "Install it: pip install 'holdtrue[local]'"


def test_environment_has_a_variable_for_every_endpoint() -> None:
    """And what DynamoDB clients want to see."""
    endpoints = Endpoints(*(f"value-{index}" for index in range(9)))
    environment = endpoints.environment()
    assert {value for value in environment.values() if value.startswith("value-")} == {f"value-{i}" for i in range(9)}
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} <= environment.keys()


def test_doctor_goes_on_after_a_check_that_cannot_be_made(stack: Stack) -> None:
    """The failed one is a finding with its advice."""

    def broken(_: Patient) -> list[Finding]:
        raise StackError("It is broken.", "Mend it.")

    def good(_: Patient) -> list[Finding]:
        return [judged("good", True, "fine", "unused")]

    found = list(examine(Patient(stack), [broken, good]))  # type: ignore[list-item]
    assert [each.outcome for each in found] == [Outcome.failed, Outcome.ok]
    assert (found[0].detail, found[0].advice, found[1].advice) == ("It is broken.", "Mend it.", "")


def test_up_checks_the_disk_of_a_folder_that_is_there(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one is as new as none."""
    stack.data.mkdir()
    monkeypatch.setattr("streams.local.disk.free_bytes", lambda _: 1000)
    with pytest.raises(StackError, match="Not enough disk space"):
        stack.up()
    assert list(stack.data.iterdir()) == []


def test_a_set_up_program_that_fails_says_why(tmp_path: Path) -> None:
    """What its log says in words we know, of this run and not of one before."""
    tool = Redis(Site(tmp_path, {"redis": 1}, "", Cache(tmp_path), load_lock()))
    (tmp_path / "logs").mkdir()
    with pytest.raises(ServiceError, match="the disk is full") as caught:
        tool.run_tool(("sh", "-c", "echo No space left on device >&2; exit 1"), "creating it")
    assert "--data-dir" in caught.value.hint
    with pytest.raises(ServiceError, match="see the end of its log"):
        tool.run_tool(("sh", "-c", "exit 1"), "creating it")


@pytest.mark.parametrize(("base", "plugins"), [(80, ()), (65_530, ()), (None, ("nope",)), (None, ("kafka",))])
def test_wrong_use_is_refused_before_anything_is_made(stack: Stack, base: int | None, plugins: tuple[str, ...]) -> None:
    """With the exit code of wrong usage."""
    with pytest.raises(StackError) as caught:
        stack.up(port_base=base, plugins=plugins)
    assert caught.value.exit_code == 2
    assert not list(stack.data.parent.iterdir())


def test_the_lock_goes_with_the_folder(stack: Stack) -> None:
    """Nothing is left of a stack that was wiped."""
    stack.data.mkdir()
    (stack.data / "holdtrue-stack").touch()
    stack.down(wipe=True)
    assert list(stack.data.parent.iterdir()) == []
