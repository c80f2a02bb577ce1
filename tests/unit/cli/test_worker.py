"""A worker that is ended before it runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.cli.context import Context
from streams.cli.output import Output
from streams.cli.worker import worker
from streams.kafka import belonging
from tests.unit.plan.plans import EXAMPLE


@pytest.mark.parametrize("kind", [{"control": True}, {"replica": "cache"}], ids=str)
def test_a_worker_that_is_ended_while_it_still_waits_has_ended_well(
    kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that runs: whoever stops all of them looks at exit codes."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(belonging, "refuse_another_plans", interrupted)
    monkeypatch.setenv("HOLDTRUE_PLAN", str(EXAMPLE))
    call: Any = SimpleNamespace(obj=Context(EXAMPLE, Output()))
    worker(call, **{"replica": None, **kind}, instance="0", metrics_port=0)
    assert capsys.readouterr().err == "ended\n"
