"""A repair that is interrupted: what it has ordered goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.cli.context import Context
from streams.cli.output import Output
from streams.cli.repair import apply
from streams.plan import check
from streams.repair import file
from streams.validation import open as opening
from streams.validation import repairing


def interrupted(*_: Any, **options: Any) -> Iterator[None]:
    """While answers are waited for."""
    raise KeyboardInterrupt
    yield


def test_whoever_interrupts_a_repair_is_told_that_its_orders_stand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how they are checked; it ends as any command that is interrupted."""
    monkeypatch.setattr(check, "load_plan", lambda path: None)
    monkeypatch.setattr(file, "read", lambda path: None)
    monkeypatch.setattr(opening, "Opener", lambda plan, note: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(repairing, "apply_plan", interrupted)
    call: Any = SimpleNamespace(obj=Context(Path("plan.yaml"), Output()))
    with pytest.raises(KeyboardInterrupt):
        apply(call, Path("repair.json"), reason="", by="me")
    said = capsys.readouterr().err
    assert "what was ordered by now is carried out by the workers" in said
    assert "holdtrue repair apply repair.json" in said
    assert "holdtrue validate" in said
