"""A plan of its own on the shared servers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from streams.cli.program import composed
from streams.connectors.render import connector_name
from streams.kafka.connect import Connect
from streams.local.stack import Stack
from streams.plan.check import load_plan
from streams.plan.model import Plan
from tests.integration.kafka.log import Log

PLAN = """
holdtrue: 1
name: {name}
owner: o
approver: a
source: {{dsn: {{env: HOLDTRUE_SOT_DSN}}, signal_table: {name}.signal}}
kafka:
  bootstrap: {{env: HOLDTRUE_KAFKA}}
  registry: {{env: HOLDTRUE_REGISTRY}}
  connect: {{env: HOLDTRUE_CONNECT}}
  converter: {{kind: apicurio, url: {{env: HOLDTRUE_APICURIO}}}}
  topics: {name}-own
  partitions: 3
  retention: 7d
  longest_pause: 2d
control: {{dsn: {{env: HOLDTRUE_CONTROL_DSN}}}}
tombstone_retention: 14d
tables:
  {name}.item: {{key: [id]}}
  {name}.part: {{key: [id], partitions: 1}}
replicas:
  copy:
    kind: postgres
    dsn: {{env: HOLDTRUE_REPLICA_DSN}}
    defaults:
      mode: replicate
      trigger: realtime
      consistency: {{kind: eventual, lag: 2s}}
      conflict: source_wins
      on_failure: dead-letter
      validation: {{depths: [counts], every: 1h}}
      repair: {{automatic: []}}
    tables:
      {name}.item: {{}}
"""


@dataclass(frozen=True)
class Site:
    """A plan with its tables in a running stack."""

    plan: Plan
    path: Path
    sot: psycopg.Connection[Any]
    log: Log

    def run(self, *words: str) -> Result:
        """One `holdtrue` command under this plan, JSON out."""
        return CliRunner().invoke(composed(), ["--plan", str(self.path), "--format", "json", *words])

    def table(self, name: str) -> str:
        return f"{self.plan.name}.{name}"


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Iterator[None]:
    """The shared servers, through the environment variables that plans refer to."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shared_stack.endpoints().environment().items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def empty_site(stack: None, tmp_path: Path) -> Iterator[Callable[[], Site]]:
    """Makes sites whose tables exist and for which nothing was applied yet; removes what they left."""
    made: list[Site] = []

    def make() -> Site:
        made.append(make_site(tmp_path))
        return made[-1]

    yield make
    for site in made:
        remove(site)


@pytest.fixture(scope="module")
def site(stack: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with topics, schemas and a running connector."""
    made = make_site(tmp_path_factory.mktemp("plan"))
    try:
        for verb in (("topics", "apply"), ("schemas", "register"), ("connectors", "apply")):
            result = made.run(*verb)
            assert result.exit_code == 0, (verb, result.exception)
        yield made
    finally:
        remove(made)


def make_site(folder: Path) -> Site:
    name = f"t{uuid.uuid4().hex[:8]}"
    path = folder / f"{name}.yaml"
    path.write_text(PLAN.format(name=name))
    sot = psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True)
    sot.execute(f"CREATE SCHEMA {name}")
    for table in ("item", "part"):
        sot.execute(f"CREATE TABLE {name}.{table} (id int PRIMARY KEY, note text, cfg jsonb DEFAULT '{{}}')")
        sot.execute(f"INSERT INTO {name}.{table} SELECT n, 'first' FROM generate_series(1, 20) n")
    log = Log(os.environ["HOLDTRUE_KAFKA"], os.environ["HOLDTRUE_REGISTRY"])
    return Site(load_plan(path), path, sot, log)


def remove(site: Site) -> None:
    """Take away connector, slot, publication and tables; topics have names of their own and stay."""
    connect = Connect(os.environ["HOLDTRUE_CONNECT"])
    connect.forget(connector_name(site.plan))
    connect.delete(connector_name(site.plan))
    site.log.wait(lambda: not _slots(site, "active"), "the slot to be left")
    if _slots(site, "true"):
        site.sot.execute("SELECT pg_drop_replication_slot(%s)", [site.plan.source.slot])
    site.sot.execute(f"DROP PUBLICATION IF EXISTS {site.plan.source.publication}")
    site.sot.execute(f"DROP SCHEMA {site.plan.name} CASCADE")
    site.sot.close()
    site.log.close()
    connect.close()


def _slots(site: Site, condition: str) -> bool:
    query = f"SELECT FROM pg_replication_slots WHERE slot_name = %s AND {condition}"
    return site.sot.execute(query, [site.plan.source.slot]).fetchone() is not None
