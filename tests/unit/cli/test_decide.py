"""What a person may decide about a drift, and how it is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streams.cli.decide import moment
from streams.cli.said import SAID_MAX, said
from streams.errors import UsageError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-05-02", datetime(2026, 5, 2, tzinfo=UTC)),
        ("2026-05-01T18:00Z", datetime(2026, 5, 1, 18, tzinfo=UTC)),
        ("2026-05-01 14:30:00+02:00", datetime(2026, 5, 1, 12, 30, tzinfo=UTC)),
        ("2026-05-01T13:00", datetime(2026, 5, 1, 13, tzinfo=UTC)),
        ("14d", NOW + timedelta(days=14)),
        ("1h30m", NOW + timedelta(minutes=90)),
    ],
)
def test_an_end_is_a_date_a_moment_or_so_long_from_now(text: str, meant: datetime) -> None:
    """Without a zone it is UTC, as everything that is shown."""
    assert moment(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "never", "2026-13-01", "14", "999999999d", "2026-05-01", "2026-05-01T12:00Z"])
def test_what_is_no_end_or_is_over_is_refused(text: str) -> None:
    """Nothing is accepted for ever."""
    with pytest.raises(UsageError, match="--until is"):
        moment(text, NOW)


def test_a_reason_is_a_line_and_somebody_gives_it() -> None:
    """Who orders it is the user of the process, unless somebody is named."""
    assert said("ada", " known ") == ("ada", "known")
    assert said("", "known").by
    for reason in (" ", "a\nb", "x" * SAID_MAX):
        with pytest.raises(UsageError):
            said("ada", reason)
