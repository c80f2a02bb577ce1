"""What `status` says of one table, and what `drift` shows of a key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streams.cli.drift import _states
from streams.cli.status import row
from streams.control.gauges import ratio
from streams.control.lag import Lag
from streams.control.view import Remembered, drift_row
from streams.errors import UsageError

FINE = Lag(0.0, 0, "0/10", True)
PLACE = ("public.t", "cache")
FIELDS = {
    "table", "replica", "lag_seconds", "lag_events", "applied_through", "verified_through", "drift_open", "held",
}  # fmt: skip


def status(
    lag: Lag = FINE, known: Remembered | None = None, bound: float | None = 2.0, *, working: bool = True
) -> dict[str, object]:
    limit = None if bound is None else timedelta(seconds=bound)
    return row("public.t", "cache", lag, limit, known or Remembered(), working=working)


def test_a_table_that_is_well_has_no_problems_and_every_field() -> None:
    """Also before control has remembered anything."""
    line = status()
    assert line.keys() == FIELDS | {"problems"}
    assert line["problems"] == []


@pytest.mark.parametrize(
    ("lag", "known", "bound", "problems"),
    [
        (FINE._replace(seconds=2.0), None, 2.0, []),
        (FINE._replace(seconds=2.001), None, 2.0, ["lag is above the bound of 2 s"]),
        (FINE._replace(seconds=1e6), None, None, []),
        (Lag(9.0, 9, None, False), None, 2.0, ["no worker has committed anything"]),
        (FINE, Remembered(held={PLACE: "odd"}), 2.0, ["held"]),
        (FINE, Remembered(drift_open={PLACE: 3}), 2.0, ["drift is open"]),
        (FINE, Remembered(drift_open={("public.t", "reports"): 3}), 2.0, []),
    ],
)
def test_each_problem_is_named(lag: Lag, known: Remembered | None, bound: float | None, problems: list[str]) -> None:
    """The bound itself is allowed; another replica's drift is not ours."""
    assert status(lag, known, bound)["problems"] == problems


def test_a_replica_without_a_worker_is_not_well() -> None:
    """Nothing lags while nothing is written; the next change would."""
    assert status(working=False)["problems"] == ["no worker is running"]


def test_the_mark_is_a_position_with_its_time() -> None:
    """verified_through as in the interface document."""
    mark = {"position": "0/9", "at": datetime(2026, 5, 1, tzinfo=UTC)}
    line = status(known=Remembered(verified={PLACE: mark}))
    assert line["verified_through"] == {"position": "0/9", "at": "2026-05-01T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("key", "key_bytes", "hidden", "shown"),
    [
        ({"aid": "7"}, b"7", False, {"aid": "7"}),
        (None, b"\xab\xcd", True, "hmac:abcd"),
        ({"aid": "7"}, b"\xab", True, "hmac:ab"),
        (None, None, False, None),
    ],
)
def test_keys_are_shown_as_the_plan_lets_them(
    key: object, key_bytes: bytes | None, hidden: bool, shown: object
) -> None:
    """A hidden key is never shown, even where a sender left it in."""
    line = drift_row({"key": key, "key_bytes": key_bytes, "key_hidden": hidden, "entry_token": b"\x01"})
    assert line == {"key": shown, "entry_token": "01"}


def test_states_are_checked_by_name() -> None:
    """A misspelt state must not show an empty list."""
    assert _states(None) is None
    assert set(_states(["open-all", "suspected"]) or ()) == {"open", "repairing", "repaired", "suspected"}
    with pytest.raises(UsageError, match="no state opened"):
        _states(["opened"])


@pytest.mark.parametrize(("figures", "share"), [((8, 1, 0, 1, 0), 0.8), ((0, 0, 0, 0, 0), 1.0), ((0, 0, 5, 0, 0), 0.0)])
def test_what_was_not_checked_counts_against_the_ratio(figures: tuple[int, ...], share: float) -> None:
    """Skipped, failed and superseded keys are not verified keys."""
    names = ("verified", "superseded", "skipped", "failed", "drift_found")
    assert ratio({**dict(zip(names, figures, strict=True)), "outcome": "correct"}) == share
