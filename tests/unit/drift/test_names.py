"""What records of drift show of a key."""

from __future__ import annotations

from datetime import UTC, datetime

from streams.drift.identity import drift_id
from streams.drift.names import Names
from streams.drift.record import key_record
from streams.rows.canonical import encode

KEY = encode(("7", "é"))
SHOWN = Names("cache", "public.t", ["id", "name"])
HIDDEN = SHOWN._replace(secret=b"secret")


def recorded(names: Names) -> dict[str, object]:
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    return key_record(names, KEY, kind="stale", cause="unknown", state="open", at=moment)


def test_a_key_is_shown_where_the_plan_does_not_hide_it() -> None:
    """By its columns, and as the version table has it."""
    record = recorded(SHOWN)
    assert (record["key"], record["key_bytes"]) == ({"id": "7", "name": "é"}, KEY)
    assert record["id"] == SHOWN.id(KEY) == drift_id("cache", "public.t", KEY)


def test_a_hidden_key_can_be_told_from_its_record_with_the_secret_only() -> None:
    """Neither the bytes nor the id can be made of a guess without it: both follow from the HMAC."""
    record = recorded(HIDDEN)
    assert (record["key"], record["key_hidden"]) == (None, True)
    assert record["key_bytes"] == HIDDEN.shown(KEY) != KEY
    assert record["id"] == HIDDEN.id(KEY) == drift_id("cache", "public.t", HIDDEN.shown(KEY))
    others = {recorded(HIDDEN._replace(secret=secret))["id"] for secret in (b"secre", b"secrets", None)}
    assert len(others | {record["id"]}) == 4


def test_a_hidden_key_is_the_same_in_every_replica_of_its_table() -> None:
    """So that people can see that a row is wrong in two of them; of another table it is another one."""
    assert HIDDEN._replace(replica="lookup").shown(KEY) == HIDDEN.shown(KEY)
    assert HIDDEN._replace(replica="lookup").id(KEY) != HIDDEN.id(KEY)
    assert HIDDEN._replace(table="public.u").shown(KEY) != HIDDEN.shown(KEY)
