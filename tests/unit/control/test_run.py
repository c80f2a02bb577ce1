"""A run on its way through the signals topic."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from streams.control.run import ENDED, VALIDATED, NotARun, Run, run_of

RUN = Run(
    run="r1", table="public.t", replica="cache", depth="checksums", outcome="correct", sot_rows=10, replica_rows=10,
    verified=10, fence_lsn="0/16B3748", verified_through="0/16B3748",
    verified_through_at=datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=UTC), seconds=1.25,
    started=datetime(2026, 5, 1, 11, tzinfo=UTC), finished=datetime(2026, 5, 1, 12, tzinfo=UTC),
)  # fmt: skip


def test_a_run_comes_back_as_it_was_sent() -> None:
    """Every field, times to the microsecond."""
    assert run_of(RUN.signal()) == RUN


@pytest.mark.parametrize(("outcome", "type_"), [("correct", VALIDATED), ("drifted", ENDED), ("incomplete", ENDED)])
def test_only_a_correct_run_says_validated(outcome: str, type_: str) -> None:
    """Nobody who waits for the signal goes on after a run that could not check."""
    fields = {name: getattr(RUN, name) for name in RUN.__struct_fields__} | {"outcome": outcome}
    assert Run(**fields).signal()["type"] == type_


@pytest.mark.parametrize(
    "broken", [{"outcome": "fine"}, {"seconds": "soon"}, {"fence_lsn": "12345"}, {"started": "yesterday"}]
)
def test_a_signal_that_is_no_run_is_named(broken: dict[str, str]) -> None:
    """What else writes to the topic does not become a run."""
    signal: dict[str, Any] = RUN.signal()
    signal["detail"] |= broken
    with pytest.raises(NotARun):
        run_of(signal)


def test_a_signal_without_its_fields_is_named() -> None:
    """No detail at all."""
    with pytest.raises(NotARun):
        run_of(RUN.signal() | {"detail": {}})
