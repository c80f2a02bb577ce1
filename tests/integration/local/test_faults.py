"""What goes wrong with real servers, and that nothing half-started is left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from confluent_kafka import Producer

from streams.control.offsets import Offsets
from streams.kafka.admin import KafkaUnavailable, Topics
from streams.kafka.topics import Topic
from streams.local.errors import ServiceError
from streams.local.ports import LOOPBACK
from streams.local.process import wait_end
from streams.local.stack import NAMES, Stack
from streams.local.supervise import State
from tests.support.wait import wait_until

from .conftest import Run, pids

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", ["redis", "sot", "registry", "dynamodb"])
def test_killed_service_shows_dead_and_up_starts_just_that_one(stack: Stack, run: Run, name: str) -> None:
    """Exit 3 until then; every other process stays."""
    before = pids(stack)
    stack.kill(name)
    shown = run("stack")
    assert shown.returncode == 3
    assert f"{name} is dead" in shown.stderr
    assert "Start what is missing: holdtrue up" in shown.stderr
    # Backends of a postmaster that was killed outlive it by a moment, and keep the next one from starting.
    wait_until(lambda: run("up").returncode == 0, f"{name} to be started")
    after = pids(stack)
    assert {each for each in NAMES if after[each] != before[each]} == {name}


def test_registry_keeps_what_it_answered_when_killed(stack: Stack) -> None:
    """A schema id is in every record: it must never be given out twice."""
    url = stack.endpoints().registry_url
    body = {"schema": '{"type": "long"}'}
    answer = requests.post(f"{url}/subjects/durable-value/versions", json=body, timeout=10).json()
    stack.kill("registry")
    stack.start_service("registry")
    found = requests.get(f"{url}/schemas/ids/{answer['id']}", timeout=10).json()
    assert json.loads(found["schema"]) in ("long", {"type": "long"})


@pytest.mark.long
def test_what_asked_kafka_before_it_was_killed_asks_it_again(stack: Stack) -> None:
    """Control has its clients for months; after a kill the broker may refuse them for good, as of an older epoch."""
    url, unused = stack.endpoints().kafka, cast("Any", None)
    name = f"killed-{uuid.uuid4().hex[:8]}"
    Topics(url).apply([Topic(name, 2, 1, "changes", {})])
    producer = Producer({"bootstrap.servers": url})
    for partition in range(2):
        producer.produce(name, b"x", partition=partition)
    assert producer.flush(60) == 0
    places = {(name, partition): 0 for partition in range(2)}
    offsets = Offsets(url, unused)

    def asked() -> bool:
        try:
            found = offsets.ends(list(places)), {place: len(read) for place, read in offsets._read(places).items()}
        except KafkaUnavailable:
            return False
        assert found == (dict.fromkeys(places, 1), dict.fromkeys(places, 1))
        return True

    assert asked()
    for _ in range(2):
        stack.kill("kafka")
        stack.start_service("kafka")
        wait_until(asked, "the offsets to be told again", 120)
    offsets.close()


def test_service_can_be_stopped_and_started_alone(stack: Stack) -> None:
    """For tests of what depends on it."""
    stack.stop_service("redis")
    assert {each.service: each.state for each in stack.services()}["redis"] is State.stopped
    stack.start_service("redis")
    assert {each.state for each in stack.services()} == {State.running}


def test_hanging_service_is_unhealthy(stack: Stack, run: Run) -> None:
    """Its process is there, its answers are not."""
    pid = stack.pid("redis")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        shown = run("stack")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert shown.returncode == 3
    assert "redis is unhealthy" in shown.stderr
    assert "holdtrue down; holdtrue up" in shown.stderr


def test_remembered_port_in_use_is_one_sentence_and_nothing_is_left_running(stack: Stack, run: Run) -> None:
    """Naming service and port, and the way out."""
    stack.down()
    port = int(stack.endpoints().kafka.rpartition(":")[2])
    with socket.create_server((LOOPBACK, port)):
        done = run("up")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2].startswith(f"error: kafka: its port {port} is used by another process (log: ")
    assert "--port-base" in done.stderr
    assert {each.state for each in stack.services()} == {State.stopped}


def test_service_that_dies_while_starting_is_named_and_takes_the_others_back(stack: Stack, run: Run) -> None:
    """Here: a Postgres whose control file is gone."""
    stack.down()
    control = stack.data / "replica" / "pgdata" / "global" / "pg_control"
    hidden = control.rename(control.with_name("hidden"))
    try:
        done = run("up")
    finally:
        hidden.rename(control)
    assert done.returncode == 1
    log = stack.data / "logs" / "replica.log"
    assert f"error: replica: ended while starting: see the end of its log (log: {log})." in done.stderr
    assert {each.state for each in stack.services()} == {State.stopped}


def test_up_that_is_terminated_leaves_nothing_running(stack: Stack, stack_dir: Path) -> None:
    """SIGTERM in the middle of starting, when some servers already serve."""
    stack.down()
    environment = {**os.environ, "HOLDTRUE_STACK_DIR": str(stack_dir)}
    words = (str(Path(sys.executable).with_name("holdtrue")), "up")
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as command:
        assert command.stderr is not None
        assert "serves at" in command.stderr.readline()
        command.send_signal(signal.SIGTERM)
        command.communicate(timeout=120)
    assert command.returncode == 130
    assert {each.state for each in stack.services()} == {State.stopped}


def test_a_process_that_got_a_dead_services_pid_is_never_touched(stack: Stack, tmp_path: Path) -> None:
    """The pid file names a stranger: the service is dead, and stopping it leaves the stranger alone."""
    stack.kill("redis")
    pid_file = stack.data / "run" / "redis.pid"
    with subprocess.Popen(("sleep", "60")) as stranger:
        pid_file.write_text(f'{{"pid": {stranger.pid}, "born": "before the last reboot"}}')
        assert {each.service: each.state for each in stack.services()}["redis"] is State.dead
        stack.stop_service("redis")
        assert stranger.poll() is None
        stranger.kill()


def test_start_of_one_service_with_its_port_taken_is_an_error(stack: Stack) -> None:
    """The same sentence as from `up`."""
    stack.stop_service("redis")
    port = int(stack.endpoints().redis_url.rpartition(":")[2].partition("/")[0])
    with socket.create_server((LOOPBACK, port)), pytest.raises(ServiceError, match=f"its port {port} is used"):
        stack.start_service("redis")


def test_wipe_stops_and_deletes_everything(stack: Stack, run: Run) -> None:
    """The next `up` starts afresh, on the ports it is given."""
    running = [each.process() for each in stack._supervisors()]
    assert run("down", "--wipe").returncode == 0
    assert all(each is not None and wait_end(each, 0) for each in running)
    assert not stack.data.exists()
