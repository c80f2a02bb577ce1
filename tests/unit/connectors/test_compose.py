from __future__ import annotations

import json
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streams.plan.model import Plan
from tests.unit.connectors.conftest import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SECRET = re.compile(r"PASSWORD|SECRET|://[^/]*:[^/]*@")


@pytest.fixture(scope="module")
def specification() -> Any:
    """The compose specification's JSON Schema, as check-jsonschema ships it."""
    folder = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    return json.loads(Path(str(distribution("check-jsonschema").locate_file(folder))).read_text(encoding="utf-8"))


def test_compose_file_keeps_the_specification(specification: Any) -> None:
    """docker-compose.yml is valid under the compose specification."""
    assert not list(jsonschema.validators.validator_for(specification)(specification).iter_errors(COMPOSE))


def test_the_specification_would_refuse_a_slip(specification: Any) -> None:
    """The schema is the real one: a misspelt key of a service is refused."""
    wrong = {**COMPOSE, "services": {"kafka": {"imagee": "x"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validators.validator_for(specification)(specification).validate(wrong)


def test_ports_are_published_on_the_loopback_interface_only() -> None:
    """Nothing of a laptop's stack can be reached from outside."""
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_secrets_come_from_the_environment() -> None:
    """Every password is a variable with a default for local use, never a literal."""
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(f"{name}={value}") and not name.endswith(("_REF", "_PATTERN")):
                assert "${" in str(value), name


def test_every_server_has_a_healthcheck() -> None:
    """What others wait for says itself when it is ready."""
    waited = {
        name
        for service in COMPOSE["services"].values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited == {"sot", "replica", "redis", "dynamodb", "kafka", "registry", "connect"}
    assert all("healthcheck" in COMPOSE["services"][name] for name in waited)


def test_every_worker_can_be_probed_and_scraped() -> None:
    """By its own container, and by a Prometheus in the network of all; by nobody outside of it."""
    workers = [each for each in COMPOSE["services"].values() if (each.get("command") or [""])[0] == "worker"]
    assert len(workers) == 4
    for worker in workers:
        host, port = (worker["environment"][f"HOLDTRUE_METRICS_{name}"] for name in ("HOST", "PORT"))
        assert (host, worker["expose"]) == ("0.0.0.0", [str(port)])
        assert f"http://127.0.0.1:{port}/livez" in worker["healthcheck"]["test"][-1]
        assert "ports" not in worker


def test_there_is_a_worker_for_each_replica_of_the_example(plan: Plan) -> None:
    """Each replica of the mounted plan has its worker, and the control app runs."""
    commands = [service["command"] for service in COMPOSE["services"].values() if service.get("command")]
    replicas = {command[-1] for command in commands if command[:2] == ["worker", "--replica"]}
    assert replicas == set(plan.replicas)
    assert ["worker", "--control"] in commands


def test_the_workers_environment_resolves_every_reference_of_the_plan() -> None:
    """No variable that the example plan names is missing in the containers."""
    text = (ROOT / "docs/examples/bank/consistency.yaml").read_text()
    needed = set(re.findall(r"\{env: (\w+)\}", text))
    assert needed <= set(COMPOSE["x-holdtrue"]["environment"])


def test_versions_are_those_of_the_embedded_stack() -> None:
    """The images and the pinned artifacts of `holdtrue up` are the same versions."""
    lock = json.loads((ROOT / "streams/local/artifacts.lock.json").read_text())["groups"]
    pinned = {artifact["name"]: artifact["version"] for group in lock.values() for artifact in group}
    images = {name: service.get("image", "") for name, service in COMPOSE["services"].items()}
    assert images["kafka"] == f"apache/kafka:{pinned['kafka_2.13']}"
    assert images["connect"] == f"quay.io/debezium/connect:{pinned['debezium-connector-postgres']}"
    assert images["registry"] == f"apicurio/apicurio-registry:{pinned['apicurio-registry-app']}"
    assert images["dynamodb"] == f"amazon/dynamodb-local:{pinned['DynamoDBLocal']}"


def test_the_one_connect_worker_waits_for_no_other() -> None:
    """Else the connector stands still for five minutes after an outage of Kafka."""
    assert COMPOSE["services"]["connect"]["environment"]["CONNECT_SCHEDULED_REBALANCE_MAX_DELAY_MS"] == 0
