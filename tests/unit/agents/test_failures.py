"""Dead letters and the drift that is opened beside them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.failures import Failures, Unwritable
from streams.drift.cause import REFUSED
from streams.drift.identity import drift_id
from streams.drift.names import Names

NAMES = Names("lookup", "public.t", ["k"])


class Sent:
    """What was put on our topics."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.records: list[dict[str, Any]] = []

    def send(self, topic: str, key: str, schema: str, record: dict[str, Any]) -> None:
        """What goes where."""
        self.events.append((topic, key))
        self.records.append(record)

    async def flush(self) -> None:
        """All is there at once."""


@pytest.mark.asyncio
@pytest.mark.parametrize("key", [b"", b"1"], ids=["empty text", "other"])
async def test_a_refused_key_has_the_drift_that_checks_give_it(key: bytes) -> None:
    """Also the empty text, which is a key like any other."""
    sent = Sent()
    raw: Any = SimpleNamespace(offset=0, timestamp=0, key=b"", value=b"", headers=[])
    failures = Failures(sent, NAMES, "bank.public.t")  # type: ignore[arg-type]
    await failures.publish([Unwritable(raw, "refused", "too large", key)], {}, {}, [raw], 0)
    assert sent.events == [(topic, drift_id("lookup", "public.t", key)) for topic in ("dlq", "drift")]


@pytest.mark.asyncio
async def test_a_row_that_no_record_brought_opens_drift_alone() -> None:
    """A rebuild reads it from the SOT: there is nothing to keep as a dead letter, and still somebody must see it."""
    sent = Sent()
    failures = Failures(sent, NAMES, "bank.public.t")  # type: ignore[arg-type]
    await failures.publish_rows({})
    await failures.publish_rows({b"1": "too large"})
    assert sent.events == [("drift", drift_id("lookup", "public.t", b"1"))]
    (drift,) = sent.records
    assert (drift["kind"], drift["cause"], drift["state"], drift["change"]) == ("unapplied", REFUSED, "open", None)
    assert drift["reason"] == "the store refused the row: too large"
