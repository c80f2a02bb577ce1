"""`holdtrue up`, `down`, `stack`, `doctor` on real servers."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
import redis
import requests
from confluent_kafka.admin import AdminClient, NewTopic

from streams.local.exclusive import exclusive
from streams.local.stack import NAMES, Stack
from streams.local.supervise import State

from .conftest import Run, described, pids

# The first `up` on a machine downloads about 270 MB.
pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


def test_every_server_serves_and_is_described(stack: Stack, run: Run) -> None:
    """Endpoints, environment, state, process and log of each; doctor agrees."""
    answer = described(run)
    assert [each["service"] for each in answer["services"]] == list(NAMES)
    for each in answer["services"]:
        assert each["state"] == "running"
        assert Path(each["log"]).stat().st_size > 0
    assert answer["environment"] == stack.endpoints().environment()
    doctor = run("--format", "json", "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert json.loads(doctor.stdout)["ok"] is True


def test_second_up_says_that_it_runs_and_starts_nothing(stack: Stack, run: Run) -> None:
    """Same processes, no download."""
    before = pids(stack)
    done = run("up")
    assert done.returncode == 0
    assert "already runs" in done.stderr
    assert "fetching" not in done.stderr
    assert pids(stack) == before


def test_env_prints_lines_for_eval(stack: Stack, run: Run) -> None:
    """Quoted for a shell."""
    lines = run("stack", "--env").stdout.splitlines()
    words = [shlex.split(line) for line in lines]
    assert all(first == "export" for first, _ in words)
    assert dict(word.split("=", 1) for _, word in words) == stack.endpoints().environment()


def test_table_shows_no_password(stack: Stack, run: Run) -> None:
    """It is for a screen that others may see."""
    password = json.loads((stack.data / "secrets.json").read_text())["postgres"]
    table = run("stack")
    assert password not in table.stdout + table.stderr


def test_connect_has_debezium_and_the_avro_converter(stack: Stack) -> None:
    """And finds them without a manifest in the converter's own jars."""
    url = f"{stack.endpoints().connect_url}/connector-plugins?connectorsOnly=false"
    classes = {plugin["class"] for plugin in requests.get(url, timeout=10).json()}
    assert "io.debezium.connector.postgresql.PostgresConnector" in classes
    assert "io.apicurio.registry.utils.converter.AvroConverter" in classes


def test_postgres_refuses_a_wrong_password(stack: Stack) -> None:
    """On loopback too."""
    dsn = psycopg.conninfo.conninfo_to_dict(stack.endpoints().sot_dsn)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**{**dsn, "password": "wrong"})


def test_no_server_listens_beyond_the_loopback_interface(stack: Stack) -> None:
    """Neither on the ports we gave it nor on one of its own choice."""
    for name, pid in pids(stack).items():
        assert pid is not None
        listening = _listening(pid)
        assert listening, name
        assert not [address for address in listening if not address.endswith("0100007F")], name


def _listening(pid: int) -> list[str]:
    """Local addresses (hex, as the kernel shows them) of a process's listening sockets."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(handle.readlink()))
    tables = [line.split() for kind in ("tcp", "tcp6") for line in _lines(f"/proc/{pid}/net/{kind}")]
    return [row[1].partition(":")[0] for row in tables if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()[1:]


def test_state_survives_down_and_up_on_the_same_ports(stack: Stack, run: Run) -> None:
    """Rows, keys, items, topics, schemas."""
    endpoints = stack.endpoints()
    _write_everywhere(stack)
    said = {"data_dir": str(stack.data), "wiped": False}
    assert json.loads(run("--format", "json", "down").stdout) == {**said, "stopped": True}
    assert json.loads(run("--format", "json", "down").stdout) == {**said, "stopped": False}
    assert {each.state for each in stack.services()} == {State.stopped}
    assert run("stack").returncode == 3
    started = json.loads(run("--format", "json", "up").stdout)
    assert {each["state"] for each in started["services"]} == {State.running}
    assert started["environment"] == endpoints.environment()
    assert stack.endpoints() == endpoints
    assert _read_everywhere(stack) == {"sot": 1, "replica": 1, "control": 1, "redis": b"1", "item": "1", "subject": 1}
    assert "kept" in AdminClient({"bootstrap.servers": endpoints.kafka}).list_topics(timeout=10).topics


def _write_everywhere(stack: Stack) -> None:
    endpoints = stack.endpoints()
    for dsn in (endpoints.sot_dsn, endpoints.replica_dsn, endpoints.control_dsn):
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS n")
    with redis.Redis.from_url(endpoints.redis_url) as cache:
        cache.set("kept", "1")
    admin = AdminClient({"bootstrap.servers": endpoints.kafka})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(timeout=10)
    body = {"schema": '{"type": "string"}'}
    requests.post(f"{endpoints.registry_url}/subjects/kept-value/versions", json=body, timeout=10).raise_for_status()
    client = _dynamodb(stack)
    client.create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.put_item(TableName="kept", Item={"id": {"S": "1"}})


def _read_everywhere(stack: Stack) -> dict[str, Any]:
    endpoints = stack.endpoints()
    found: dict[str, Any] = {}
    for name in ("sot", "replica", "control"):
        with psycopg.connect(getattr(endpoints, f"{name}_dsn")) as connection:
            found[name] = connection.execute("SELECT n FROM kept").fetchone()[0]  # type: ignore[index]
    with redis.Redis.from_url(endpoints.redis_url) as cache:
        found["redis"] = cache.get("kept")
    found["item"] = _dynamodb(stack).get_item(TableName="kept", Key={"id": {"S": "1"}})["Item"]["id"]["S"]
    versions = requests.get(f"{endpoints.registry_url}/subjects/kept-value/versions", timeout=10).json()
    found["subject"] = len(versions)
    return found


def _dynamodb(stack: Stack) -> Any:
    environment = stack.endpoints().environment()
    return boto3.client(
        "dynamodb",
        endpoint_url=environment["HOLDTRUE_DYNAMODB"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def test_second_command_at_the_same_time_is_refused(stack: Stack, run: Run) -> None:
    """One sentence, exit 1."""
    with exclusive(stack.data):
        done = run("down")
    assert done.returncode == 1
    assert "at work on" in done.stderr
    assert os.path.exists(f"/proc/{stack.pid('redis')}")


def test_a_running_stack_does_not_move_to_other_ports(stack: Stack, run: Run) -> None:
    """It must be stopped first."""
    done = run("up", "--port-base", "19000")
    assert done.returncode == 1
    assert "holdtrue down" in done.stderr
