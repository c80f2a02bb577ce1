"""The command line where something is missing or wrong: one clear sentence, the right exit code, nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from streams import parent
from tests.unit.plan.plans import EXAMPLE

PROGRAM = str(Path(sys.executable).with_name("holdtrue"))
SECRET = "s3cret-pass"
# Nobody listens on port 1.
NOWHERE = {
    "HOLDTRUE_SOT_DSN": f"postgresql://someone:{SECRET}@127.0.0.1:1/sot",
    "HOLDTRUE_REPLICA_DSN": f"postgresql://someone:{SECRET}@127.0.0.1:1/replica",
    "HOLDTRUE_CONTROL_DSN": f"postgresql://someone:{SECRET}@127.0.0.1:1/control",
    "HOLDTRUE_REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1/0",
    "HOLDTRUE_KAFKA": "127.0.0.1:1",
    "HOLDTRUE_CONNECT": "http://127.0.0.1:1",
    "HOLDTRUE_REGISTRY": "http://127.0.0.1:1/apis/ccompat/v7",
    "HOLDTRUE_APICURIO": "http://127.0.0.1:1/apis/registry/v2",
    "HOLDTRUE_DYNAMODB": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "k",
    "AWS_SECRET_ACCESS_KEY": "s",
    "AWS_REGION": "local",
}
# Interrupts the command at the moment it imports the module named in the environment.
WHILE_IMPORTING = """
import os, sys
class Unraisable:
    def __del__(self):
        raise KeyboardInterrupt
class Interrupted:
    def find_spec(self, name, path, target=None):
        if name == os.environ["AT"]:
            if "UNRAISABLE" not in os.environ:
                raise KeyboardInterrupt
            Unraisable()
sys.meta_path.insert(0, Interrupted())
from streams.cli.main import run
run()
"""
# Every verb that needs a plan, as it is usually called.
VERBS = [
    ("plan", "check"),
    ("plan", "check", "--live"),
    ("connectors", "render"),
    ("connectors", "apply"),
    ("connectors", "status"),
    ("connectors", "delete", "--yes"),
    ("topics", "apply"),
    ("schemas", "register"),
    ("worker", "--replica", "reports"),
    ("worker", "--replica", "cache"),
    ("worker", "--replica", "lookup"),
    ("worker", "--control"),
    ("validate",),
    ("status",),
    ("drift", "list"),
    ("dlq", "list"),
    ("audit", "list"),
    ("repair", "plan"),
]
NEED_NO_SERVER = [("plan", "check"), ("connectors", "render")]


def run(words: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command in an empty folder, with nothing of ours in the environment but `env`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDTRUE_", "AWS_", "XDG_"))}
    kept |= {"HOME": str(folder), **(env or {})}
    return subprocess.run(
        (PROGRAM, *words), env=kept, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_ended_says_so(how: signal.Signals, tmp_path: Path) -> None:
    """Whoever ends it, by hand or by a supervisor: exit 130, and no trace."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://someone:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/control"
        command = subprocess.Popen(
            (PROGRAM, "--plan", str(EXAMPLE), "drift", "list"), cwd=tmp_path, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **NOWHERE, "HOLDTRUE_CONTROL_DSN": dsn},
        )  # fmt: skip
        silent.settimeout(30)
        with silent.accept()[0]:
            command.send_signal(how)
            _, said = command.communicate(timeout=30)
    asked = "terminated" if how is signal.SIGTERM else "interrupted"
    assert (command.returncode, said) == (130, f"{asked}\n")


@pytest.mark.parametrize("words", [("dlq", "replay"), ("dlq", "discard")])
def test_what_is_not_built_is_refused_by_name(tmp_path: Path, words: Sequence[str]) -> None:
    """Whatever is given with it."""
    ran = run((*words, "--table", "public.t", "word"), tmp_path)
    assert ran.stderr.startswith(f"error: {' '.join(words)} is not built yet.")
    assert_clear(ran, 2)


def test_a_stack_that_never_was_is_not_said_to_be_deleted(tmp_path: Path) -> None:
    """Nor is it an error: nothing is there now, as was wanted."""
    ran = run(("--format", "json", "down", "--wipe", "--data-dir", "s"), tmp_path)
    assert (ran.returncode, json.loads(ran.stdout)["wiped"]) == (0, False)
    assert f"{tmp_path / 's'} was not there" in ran.stderr
    assert "is deleted." not in ran.stderr


@pytest.mark.parametrize(
    ("env", "words", "code", "said"),
    [
        ({}, (), 1, "The plan refers to {env: HOLDTRUE_KAFKA}, which is not set or empty."),
        ({**NOWHERE, "HOLDTRUE_REDIS_URL": ""}, (), 1, "The plan refers to {env: HOLDTRUE_REDIS_URL}"),
        (NOWHERE, ("--instance", "."), 2, "The name of this worker's instance cannot be used."),
        ({**NOWHERE, "HOLDTRUE_METRICS_HOST": "nowhere"}, (), 2, "HOLDTRUE_METRICS_HOST"),
    ],
)
def test_what_all_workers_would_refuse_is_said_once(
    tmp_path: Path, env: Mapping[str, str], words: Sequence[str], code: int, said: str
) -> None:
    """Before any of them is started."""
    ran = run(("--plan", str(EXAMPLE), "worker", "--all", *words), tmp_path, env)
    assert said in ran.stderr
    assert_clear(ran, code)
    assert ran.stderr.count("error: ") == 1


def test_a_command_ends_with_the_parent_that_wants_it_to(tmp_path: Path) -> None:
    """However that ends: the system closes its end of the pipe."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://someone:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/control"
        command = subprocess.Popen(
            (PROGRAM, "--plan", str(EXAMPLE), "drift", "list"), cwd=tmp_path, stdin=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**parent.environment(), **NOWHERE, "HOLDTRUE_CONTROL_DSN": dsn},
        )  # fmt: skip
        silent.settimeout(30)
        with silent.accept()[0]:
            _, said = command.communicate(timeout=30)  # closes its stdin
    assert (command.returncode, said) == (130, "terminated\n")


def assert_clear(ran: subprocess.CompletedProcess[str], *codes: int) -> None:
    """One error of at most two lines (what, hint) after whatever was logged; no trace, no secret."""
    assert ran.returncode in codes, (ran.returncode, ran.stdout, ran.stderr)
    lines = ran.stderr.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(errors) == 1, ran.stderr
    assert len(lines) - errors[0] <= 2, ran.stderr
    for text in (ran.stdout, ran.stderr):
        assert "Traceback" not in text
        assert SECRET not in text


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_without_a_plan(words: tuple[str, ...], tmp_path: Path) -> None:
    """Exit 2, and the name of the file that is not there."""
    ran = run(words, tmp_path)
    assert_clear(ran, 2)
    assert "consistency.yaml" in ran.stderr


@pytest.mark.parametrize("words", [words for words in VERBS if words not in NEED_NO_SERVER], ids=" ".join)
def test_without_the_environment_the_plan_refers_to(words: tuple[str, ...], tmp_path: Path) -> None:
    """A variable that is not set is named."""
    ran = run(("--plan", str(EXAMPLE), *words), tmp_path)
    if words == ("plan", "check", "--live"):
        assert (ran.returncode in (1, 2), "Traceback" in ran.stderr) == (True, False)
        assert "HOLDTRUE_" in ran.stdout + ran.stderr
        return
    assert_clear(ran, 1, 2)
    assert "HOLDTRUE_" in ran.stderr


@pytest.mark.parametrize("words", [words for words in VERBS if words not in NEED_NO_SERVER], ids=" ".join)
def test_with_no_server_behind_the_addresses(words: tuple[str, ...], tmp_path: Path) -> None:
    """Each says which server is not there, soon, and shows no password."""
    ran = run(("--plan", str(EXAMPLE), *words), tmp_path, NOWHERE)
    if words == ("plan", "check", "--live"):
        assert (ran.returncode, "Traceback" in ran.stderr, ran.stderr.count("error: ")) == (1, False, 1)
        assert SECRET not in ran.stdout + ran.stderr
        asked = (
            "the source of truth",
            "the control database",
            "the replica reports",
            "Redis",
            NOWHERE["HOLDTRUE_DYNAMODB"],
        )
        assert [name for name in asked if name not in ran.stderr] == []
        return
    if words == ("validate",):
        # As with every run that could not check: incomplete, with the reason in the table and beside it.
        assert (ran.returncode, "Traceback" in ran.stderr, SECRET in ran.stdout + ran.stderr) == (3, False, False)
        assert "7 runs could not begin, and are not recorded: Kafka at 127.0.0.1:1 did not answer" in ran.stderr
        return
    assert_clear(ran, 1, 3)


@pytest.mark.parametrize("words", NEED_NO_SERVER, ids=" ".join)
def test_what_needs_no_server(words: tuple[str, ...], tmp_path: Path) -> None:
    """The file alone is enough, also without any variable."""
    assert run(("--plan", str(EXAMPLE), *words), tmp_path).returncode == 0


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "holdtrue: 2", "holdtrue: 1\nnonsense: true", "\x00", "é" * 10])
def test_a_file_that_is_no_plan(text: str, tmp_path: Path) -> None:
    """Exit 2 from the check, and from a verb that would start something."""
    (tmp_path / "consistency.yaml").write_text(text)
    for words in (("plan", "check"), ("worker", "--replica", "reports"), ("topics", "apply")):
        ran = run(words, tmp_path)
        assert ran.returncode == 2, ran.stderr
        assert "Traceback" not in ran.stderr
        assert ran.stdout + ran.stderr


def test_unknown_names(tmp_path: Path) -> None:
    """A replica, table or depth that is not there: exit 2, with those that are."""
    for words, said in (
        (("worker", "--replica", "nowhere"), "reports"),
        (("validate", "--replica", "nowhere"), "reports"),
        (("validate", "--table", "public.nowhere"), "pgbench_accounts"),
        (("validate", "--depth", "nowhere"), "checksums"),
    ):
        ran = run(("--plan", str(EXAMPLE), *words), tmp_path, NOWHERE)
        assert_clear(ran, 2)
        assert said in ran.stderr


def test_stack_verbs_without_a_stack(tmp_path: Path) -> None:
    """`stack` says how to start one; `down` has nothing to do."""
    assert_clear(run(("stack",), tmp_path), 1, 3)
    assert run(("down",), tmp_path).returncode == 0


def test_crash_order_that_names_no_step_is_refused(tmp_path: Path) -> None:
    """A typo in a fault test must not pass for a test without faults."""
    ran = run(
        ("--plan", str(EXAMPLE), "worker", "--replica", "reports"), tmp_path, {**NOWHERE, "HOLDTRUE_CRASH_AT": "no"}
    )
    assert_clear(ran, 2)
    assert "HOLDTRUE_CRASH_AT=no names no step" in ran.stderr


@pytest.mark.parametrize(
    "dsn",
    [f"postgresql://someone:p@{SECRET}@127.0.0.1:1/sot", f"host=127.0.0.1 port=1 user=x dbname=s password=ab {SECRET}"],
    ids=["at sign", "blank"],
)
@pytest.mark.parametrize("words", [("connectors", "apply"), ("connectors", "status"), ("worker", "--control")], ids=str)
def test_a_password_that_was_not_escaped_is_never_printed(tmp_path: Path, words: tuple[str, ...], dsn: str) -> None:
    """libpq takes a part of it for the host, and says so."""
    env = {**NOWHERE, "HOLDTRUE_PLAN": str(EXAMPLE), "HOLDTRUE_SOT_DSN": dsn, "HOLDTRUE_CONTROL_DSN": dsn}
    ran = run(words, tmp_path, env)
    assert_clear(ran, 1, 2)
    assert SECRET not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("topics", "apply"), "HOLDTRUE_KAFKA"),
        (("connectors", "status"), "HOLDTRUE_CONNECT"),
        (("schemas", "register"), "HOLDTRUE_REGISTRY"),
    ],
    ids=str,
)
def test_an_address_that_is_none_is_named_and_never_printed(words: Sequence[str], name: str, tmp_path: Path) -> None:
    """A password that got there by mistake stays where it is."""
    ran = run(("--plan", str(EXAMPLE), *words), tmp_path, {**NOWHERE, name: f"htp://u:{SECRET}@127.0.0.1:1"})
    assert_clear(ran, 1, 2)
    assert name in ran.stderr


@pytest.mark.parametrize("words", [("plan", "schema"), ("plan", "check", "--format", "json")], ids=str)
def test_an_answer_that_cannot_be_written_is_one_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A full disk."""
    env = {**os.environ, "HOLDTRUE_PLAN": str(EXAMPLE), "HOME": str(tmp_path)}
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run((PROGRAM, *words), env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said, remedy = ran.stderr.splitlines()
    assert (ran.returncode, said, remedy[:2]) == (1, "error: No space left on device", "  ")


def test_an_answer_that_nobody_takes_is_one_sentence(tmp_path: Path) -> None:
    """Stdout is closed."""
    closed = ("sh", "-c", f"{PROGRAM} plan schema >&-")
    ran = subprocess.run(closed, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: There is no stdout to answer on.")


@pytest.mark.parametrize(
    "words",
    [("plan", "schema"), ("--help",), ("plan", "check", "--format", "json"), ("doctor",)],
    ids=str,
)
def test_a_reader_that_has_enough_is_no_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    """As of any command in a pipe to `head`: nothing is said, and the exit code is that of SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        env = {**os.environ, "HOLDTRUE_PLAN": str(EXAMPLE), "HOME": str(tmp_path)}
        ran = subprocess.run(
            (PROGRAM, "--quiet", *words), env=env, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ran.returncode, ran.stderr) == (141, "")


@pytest.mark.parametrize(
    ("module", "how"), [("typer", {}), ("pydantic", {}), ("psycopg", {}), ("typer", {"UNRAISABLE": "1"})], ids=str
)
def test_a_command_is_ended_while_it_still_imports(tmp_path: Path, module: str, how: Mapping[str, str]) -> None:
    """From its first moment on, whatever it loads then, and where Python itself would let the interrupt fall."""
    words = (sys.executable, "-c", WHILE_IMPORTING, "--plan", str(EXAMPLE), "plan", "check", "--live")
    env = {**os.environ, **NOWHERE, **how, "AT": module}
    ran = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (("stack",), "HOLDTRUE_UNKNOWN_SCHEMA_SECONDS", "gibberish"),
        (("worker", "--replica", "cache"), "HOLDTRUE_UNKNOWN_SCHEMA_SECONDS", "nan"),
        (("worker", "--control"), "HOLDTRUE_UNKNOWN_SCHEMA_SECONDS", "-7531"),
        (("doctor",), "HOLDTRUE_METRICS_PORT", "gibberish"),
        (("worker", "--control"), "HOLDTRUE_METRICS_HOST", "gibberish"),
        (("worker", "--control"), "HOLDTRUE_METRICS_PORT", "gibberish"),
        (("status",), "HOLDTRUE_FORMAT", "gibberish"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_without_its_value(
    tmp_path: Path, words: Sequence[str], name: str, value: str
) -> None:
    """Before anything is half started."""
    ran = run(("--plan", str(EXAMPLE), *words), tmp_path, {**NOWHERE, name: value})
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"error: The environment cannot be used: {name}: ")
    assert len(ran.stderr.splitlines()) == 2
    assert value not in ran.stderr


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"HOLDTRUE_REPLICA": ""}, "HOLDTRUE_REPLICA is not set"),
        ({"HOLDTRUE_REPLICA": "nope"}, "The plan has no replica nope"),
        ({"HOLDTRUE_PLAN": "gone.yaml"}, "gone.yaml cannot be read"),
        ({"HOLDTRUE_METRICS_PORT": "abc"}, "HOLDTRUE_METRICS_PORT"),
    ],
    ids=str,
)
def test_fausts_own_command_is_refused_in_one_sentence(tmp_path: Path, env: Mapping[str, str], said: str) -> None:
    """As `holdtrue worker` is."""
    given = {"HOLDTRUE_PLAN": str(EXAMPLE), "HOLDTRUE_REPLICA": "cache", "HOLDTRUE_WORKER_DIR": str(tmp_path), **env}
    words = (str(Path(PROGRAM).with_name("faust")), "-A", "streams.app", "worker")
    ran = subprocess.run(
        words, env={**os.environ, **NOWHERE, **given}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr
    assert ran.stderr.startswith("error: ")
    assert said in ran.stderr


@pytest.mark.parametrize(
    ("words", "env", "code"),
    [
        (("worker", "--replica", "cache"), {"HOLDTRUE_WORKER_DIR": "/dev/null"}, 2),
        (("worker", "--replica", "cache", "--metrics-port", "999999"), {}, 2),
        (("worker", "--replica", "cache"), {"HOLDTRUE_INSTANCE": "../../x"}, 2),
        (("worker", "--control", "--instance", "."), {}, 2),
        (("repair", "plan", "--table", "nope"), {}, 2),
        (("repair", "plan", "--kind", "nope"), {}, 2),
        (("drift", "list", "--limit", "99999999999999999999"), {}, 2),
        (("validate", "--depth", "nope"), {}, 2),
    ],
    ids=str,
)
def test_what_was_misspelt_is_refused(tmp_path: Path, words: Sequence[str], env: Mapping[str, str], code: int) -> None:
    """Before anything is asked of a server, or made."""
    ran = run(words, tmp_path, {**NOWHERE, "HOLDTRUE_PLAN": str(EXAMPLE), **env})
    assert ran.returncode == code, ran.stderr
    assert not list(tmp_path.iterdir())
    assert "Traceback" not in ran.stderr


def test_the_version_is_told(tmp_path: Path) -> None:
    """Without a plan."""
    ran = run(["--version"], tmp_path)
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "holdtrue")
