"""A benchmark on a stack that is in use."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from streams.bench.apply import scratch
from streams.control.database import Database
from streams.control.view import opened
from streams.local.endpoints import Endpoints
from streams.plan.model import Plan

pytestmark = pytest.mark.stack


def test_a_benchmark_has_a_control_database_of_its_own(
    dsn: str, database: Database, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack's belongs to the plan that control has run for; nothing of the benchmark's is left."""
    endpoints = Endpoints(**{field.name: "127.0.0.1:1" for field in fields(Endpoints)} | {"control_dsn": dsn})
    for name in endpoints.environment():
        monkeypatch.setenv(name, "")  # scratch sets them, and the test takes them back
    stack: Any = SimpleNamespace(endpoints=lambda: endpoints, data=tmp_path)
    with scratch(stack, 1) as place, opened(place.plan) as control:
        assert control is None
        made = place.plan.name
    with psycopg.connect(dsn) as server:
        left = server.execute("SELECT datname FROM pg_database WHERE datname = %s", [made]).fetchall()
    assert left == []
    database.require_plan(plan.name)
