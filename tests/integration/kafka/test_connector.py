"""The rendered connector on a real Kafka Connect, Debezium, registry and Postgres."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from streams.connectors.render import connector_name
from streams.errors import HoldtrueError, NotReady
from streams.kafka.admin import TopicMismatch, Topics
from streams.kafka.connect import Connect, ConnectorFailed
from streams.kafka.topics import heartbeat_topic, message_topic, topics_of
from tests.integration.kafka.conftest import Site
from tests.integration.kafka.log import Record

pytestmark = pytest.mark.stack


def ops(records: list[Record], key: int) -> list[str]:
    """The operations seen for one key, in order; a tombstone is `-`."""
    return [record.value["op"] if record.value else "-" for record in records if record.key == {"id": key}]


def test_snapshot_arrives_in_wire_format_under_the_tables_key(site: Site) -> None:
    """Every row of the first snapshot arrives once, as a read, keyed by the primary key, in the plan's partitions."""
    topic = site.plan.change_topic(site.table("item"))
    records = site.log.until(topic, lambda found: len(found) >= 20)
    assert sorted(record.key["id"] for record in records if record.value["op"] == "r") == list(range(1, 21))
    assert set(site.log.ends(topic)) == {0, 1, 2}


def test_changes_deletes_and_tombstones_arrive_in_order(site: Site) -> None:
    """Insert, update and delete of a key come in order in one partition; the delete is followed by a tombstone."""
    table = site.table("item")
    site.sot.execute(f"INSERT INTO {table} VALUES (100, 'a')")
    site.sot.execute(f"UPDATE {table} SET note = 'b' WHERE id = 100")
    site.sot.execute(f"DELETE FROM {table} WHERE id = 100")
    records = site.log.until(site.plan.change_topic(table), lambda found: "-" in ops(found, 100))
    assert ops(records, 100) == ["c", "u", "d", "-"]
    assert len({record.partition for record in records if record.key == {"id": 100}}) == 1


def test_truncate_arrives(site: Site) -> None:
    """TRUNCATE is one record without key, before or after."""
    site.sot.execute(f"TRUNCATE {site.table('part')}")
    topic = site.plan.change_topic(site.table("part"))
    records = site.log.until(topic, lambda found: any(r.value and r.value["op"] == "t" for r in found))
    truncates = [record for record in records if record.value and record.value["op"] == "t"]
    assert [(r.key, r.value["before"], r.value["after"]) for r in truncates] == [(None, None, None)]


def test_row_larger_than_kafkas_default_arrives(site: Site) -> None:
    """A row of 3 MB does not stop the connector: producer and topic take it."""
    table = site.table("item")
    site.sot.execute(f"INSERT INTO {table} SELECT 200, string_agg(md5(n::text), '') FROM generate_series(1, 100000) n")
    records = site.log.until(site.plan.change_topic(table), lambda found: "c" in ops(found, 200))
    assert max(record.size for record in records) > 3_000_000


def test_fence_message_arrives_and_the_slot_passes_it(site: Site) -> None:
    """A logical message under our prefix reaches the message topic; the slot's confirmed position passes it."""
    row = site.sot.execute("SELECT pg_logical_emit_message(true, 'holdtrue', %s)", [site.plan.name]).fetchone()
    assert row is not None
    content = site.plan.name.encode()
    site.log.until(message_topic(site.plan), lambda found: any(r.value["message"]["content"] == content for r in found))

    def passed() -> bool:
        query = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
        answer = site.sot.execute(query, [row[0], site.plan.source.slot]).fetchone()
        return bool(answer and answer[0])

    site.log.wait(passed, "the slot to pass the fence")


def test_heartbeats_move_the_slot_of_idle_tables_without_a_message(site: Site) -> None:
    """While no captured table changes, heartbeats arrive, the slot moves, and the message topic stays as it is."""
    before = site.log.ends(message_topic(site.plan))
    site.sot.execute(f"CREATE TABLE {site.table('idle')} AS SELECT generate_series(1, 5000)")
    row = site.sot.execute("SELECT pg_current_wal_lsn()").fetchone()
    assert row is not None
    query = "SELECT confirmed_flush_lsn > %s FROM pg_replication_slots WHERE slot_name = %s"

    def moved() -> bool:
        answer = site.sot.execute(query, [row[0], site.plan.source.slot]).fetchone()
        return bool(answer and answer[0])

    site.log.wait(moved, "the slot to move past what no captured table wrote")
    assert site.log.read(heartbeat_topic(site.plan))
    assert site.log.ends(message_topic(site.plan)) == before


def test_incremental_snapshot_by_signal(site: Site) -> None:
    """A row in the signal table makes Debezium read a table again; its window rows are deleted afterwards."""
    signal, table = site.plan.source.signal_table, site.table("item")
    data = json.dumps({"data-collections": [table], "type": "incremental"})
    site.sot.execute(f"INSERT INTO {signal} VALUES ('again', 'execute-snapshot', %s)", [data])

    def read_again(found: list[Record]) -> bool:
        kinds = [r.value["source"]["snapshot"] for r in found if r.value and r.key == {"id": 1}]
        return "incremental" in kinds

    site.log.until(site.plan.change_topic(table), read_again)
    assert ("again",) in site.sot.execute(f"SELECT id FROM {signal}").fetchall()


def test_publication_holds_exactly_the_tables_of_the_plan(site: Site) -> None:
    """Not more and not less is published; a table that was added by hand is taken out again, and said."""
    published = "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = %s"
    wanted = {(name,) for name in [*site.plan.tables, site.plan.source.signal_table]}
    name = site.plan.source.publication
    assert set(site.sot.execute(published, [name])) == wanted
    site.sot.execute(f"CREATE TABLE {site.table('stray')} (id int PRIMARY KEY)")
    site.sot.execute(f"ALTER PUBLICATION {name} ADD TABLE {site.table('stray')}")
    site.sot.execute(f"ALTER PUBLICATION {name} SET (publish = 'insert')")
    result = site.run("connectors", "apply")
    assert result.exit_code == 0
    assert f"{site.table('stray')} removed" in result.stderr
    assert set(site.sot.execute(published, [name])) == wanted
    row = site.sot.execute("SELECT pubtruncate AND pubdelete FROM pg_publication WHERE pubname = %s", [name]).fetchone()
    assert row == (True,)


def test_status_shows_connector_tasks_and_slot(site: Site) -> None:
    """Running: exit 0, with the slot's positions."""
    site.log.wait(lambda: site.run("connectors", "status").exit_code == 0, "the connector to be in order")
    (row,) = json.loads(site.run("connectors", "status").stdout)["connectors"]
    assert (row["connector"], row["tasks"], row["active"]) == ("RUNNING", ["RUNNING"], True)
    assert row["confirmed_flush_lsn"]
    assert row["lag_bytes"] >= 0


def test_change_schemas_change_freely(site: Site) -> None:
    """An incompatible change of a column's type registers a second version and stops nothing."""
    table = site.table("part")
    site.sot.execute(f"ALTER TABLE {table} DROP COLUMN note, ADD COLUMN note int NOT NULL DEFAULT 1")
    site.sot.execute(f"INSERT INTO {table} VALUES (500)")
    topic = site.plan.change_topic(table)
    records = site.log.until(topic, lambda found: "c" in ops(found, 500))
    assert next(r.value["after"]["note"] for r in records if r.key == {"id": 500}) == 1
    rows = json.loads(site.run("schemas", "list").stdout)["schemas"]
    (value,) = [row for row in rows if row["subject"] == f"{topic}-value"]
    assert value["compatibility"].strip("default ()") == "NONE"
    assert value["versions"] == 2


def test_absent_connector_is_not_ready(empty_site: Callable[[], Site]) -> None:
    """Before `apply`, status is exit 3 and says what to run."""
    site = empty_site()
    result = site.run("connectors", "status")
    assert isinstance(result.exception, NotReady)
    assert result.exception.exit_code == 3
    assert "connectors apply" in result.exception.hint


def test_topics_come_before_their_connector(empty_site: Callable[[], Site]) -> None:
    """Connect would make them itself, with partitions that the plan has no say in."""
    site = empty_site()
    for verb in (("connectors", "apply"), ("status",)):
        result = site.run(*verb)
        assert result.exit_code == 1
        assert isinstance(result.exception, HoldtrueError)
        assert "holdtrue topics apply" in result.exception.hint
    assert (
        site.sot.execute("SELECT FROM pg_publication WHERE pubname = %s", [site.plan.source.publication]).rowcount == 0
    )


def test_a_topic_with_other_partitions_than_it_must_have(empty_site: Callable[[], Site]) -> None:
    """What can be done about it depends on what it is for; the plan gives no number for the fences' topic."""
    site = empty_site()
    wrong = [replace(topic, partitions=3) for topic in topics_of(site.plan) if topic.role in ("messages", "drift")]
    Topics(os.environ["HOLDTRUE_KAFKA"]).apply(wrong)
    result = site.run("topics", "apply")
    assert isinstance(result.exception, TopicMismatch)
    assert "delete the topic with Kafka's own tools" in result.exception.hint
    assert "another prefix" in result.exception.hint
    assert "State the number" not in result.exception.hint


def test_wrong_password_is_refused_without_being_shown(
    empty_site: Callable[[], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is created and the password appears nowhere."""
    site = empty_site()
    assert site.run("topics", "apply").exit_code == 0
    scheme, _, rest = os.environ["HOLDTRUE_SOT_DSN"].partition("://")
    user, _, place = rest.rpartition("@")
    monkeypatch.setenv("HOLDTRUE_SOT_DSN", f"{scheme}://{user.partition(':')[0]}:geheim@{place}")
    result = site.run("connectors", "apply")
    assert result.exit_code == 1
    assert "geheim" not in f"{result.output}{result.exception}"


def test_slot_made_anew_fails_visibly_and_a_snapshot_is_the_way_back(empty_site: Callable[[], Site]) -> None:
    """Changes that a new slot cannot give are an error of the connector, never a silent gap."""
    site = empty_site()
    assert site.run("topics", "apply").exit_code == 0
    assert site.run("connectors", "apply").exit_code == 0
    site.log.wait(lambda: site.run("connectors", "status").exit_code == 0, "streaming")
    table, slot = site.table("item"), site.plan.source.slot
    site.sot.execute(f"INSERT INTO {table} VALUES (300, 'streamed')")
    topic = site.plan.change_topic(table)
    site.log.until(topic, lambda found: "c" in ops(found, 300))
    query = "SELECT confirmed_flush_lsn > %s FROM pg_replication_slots WHERE slot_name = %s"
    now = site.sot.execute("SELECT pg_current_wal_lsn()").fetchone()
    assert now is not None
    site.log.wait(lambda: site.sot.execute(query, [now[0], slot]).fetchone() == (True,), "an offset after the insert")
    said = {"name": connector_name(site.plan), "forgotten": False}
    assert json.loads(site.run("connectors", "delete").stdout) == {**said, "deleted": False}
    assert json.loads(site.run("connectors", "delete", "--yes").stdout) == {**said, "deleted": True}
    free = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
    site.log.wait(lambda: site.sot.execute(free, [slot]).fetchone() is not None, "the slot to be left")
    site.sot.execute("SELECT pg_drop_replication_slot(%s)", [slot])
    site.sot.execute(f"INSERT INTO {table} VALUES (301, 'missed by every slot')")
    site.sot.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    site.run("connectors", "apply")
    connect = Connect(os.environ["HOLDTRUE_CONNECT"])

    def failed() -> bool:
        state = connect.state(connector_name(site.plan))
        return state is not None and state.failed

    site.log.wait(failed, "the connector to notice")
    result = site.run("connectors", "status")
    assert isinstance(result.exception, NotReady)
    assert "--forget" in result.exception.hint
    assert site.run("connectors", "delete", "--forget", "--yes").exit_code == 0
    again = site.run("connectors", "apply")
    assert not isinstance(again.exception, ConnectorFailed)
    site.log.until(topic, lambda found: "r" in ops(found, 301))
    connect.close()
