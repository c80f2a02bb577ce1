"""Topics and schemas on a real broker and registry."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import requests
from confluent_kafka.admin import AdminClient, NewTopic

from streams.errors import NotReady
from streams.kafka import schemas
from streams.kafka.admin import TopicMismatch, Topics
from streams.kafka.events import EventRefused, EventsNotWritten, EventWriter
from streams.kafka.registry import IncompatibleSchema, Registry, UnknownSchema
from streams.kafka.schemas import schema, value_subject
from streams.kafka.topics import topics_of
from streams.kafka.wire import cloud_event
from tests.integration.kafka.conftest import Site

pytestmark = pytest.mark.stack
SIGNAL = {"id": "1", "type": "Sync updated", "at": datetime(2026, 1, 2, tzinfo=UTC)}


def test_topics_are_created_once_and_verified_then(empty_site: Callable[[], Site]) -> None:
    """The first apply creates every topic as asked; the second finds all of them right."""
    site = empty_site()
    first = json.loads(site.run("topics", "apply").stdout)["topics"]
    assert {row["state"] for row in first} == {"created"}
    second = site.run("topics", "apply")
    assert second.exit_code == 0
    assert {row["state"] for row in json.loads(second.stdout)["topics"]} == {"ok"}


def test_topic_with_other_partitions_is_reported_and_left_alone(empty_site: Callable[[], Site]) -> None:
    """A topic that was there before is named with what differs, exit 1; `--alter` corrects settings alone."""
    site = empty_site()
    topic = site.plan.change_topic(site.table("item"))
    admin = AdminClient({"bootstrap.servers": os.environ["HOLDTRUE_KAFKA"]})
    admin.create_topics([NewTopic(topic, 2, 1, config={"cleanup.policy": "compact"})])[topic].result(20)
    for words in (("topics", "apply"), ("topics", "apply", "--alter")):
        result = site.run(*words)
        assert isinstance(result.exception, TopicMismatch)
        assert result.exception.exit_code == 1
        assert f"{topic}: partitions is 2, the plan needs 3" in result.exception.what
    (verdict,) = [v for v in Topics(os.environ["HOLDTRUE_KAFKA"]).verify(topics_of(site.plan)) if v.topic.name == topic]
    assert [finding.setting for finding in verdict.findings] == ["partitions"]


def test_registering_twice_changes_nothing(site: Site) -> None:
    """Our subjects are under BACKWARD with one version each; the change subjects are not held back."""
    rows = json.loads(site.run("schemas", "register").stdout)["schemas"]
    own = [row for row in rows if row["schema"]]
    assert {(row["state"], row["compatibility"], row["versions"]) for row in own} == {("unchanged", "BACKWARD", 1)}
    assert all("NONE" in row["compatibility"] for row in rows if not row["schema"])


def test_incompatible_schema_is_found_before_and_refused_at_registration(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new field without a default: `schemas check` is exit 3 with the reason, the registry refuses it."""
    changed = schema("signal")
    changed["fields"].append({"name": "new", "type": "string", "doc": "No default."})
    monkeypatch.setattr("streams.kafka.subjects.schema", lambda name: changed if name == "signal" else schema(name))
    result = site.run("schemas", "check")
    assert getattr(result.exception, "exit_code", None) == 3
    (bad,) = [row for row in json.loads(result.stdout)["schemas"] if row["state"] == "incompatible"]
    assert bad["schema"] == "signal"
    assert bad["reasons"]
    assert isinstance(site.run("schemas", "register").exception, IncompatibleSchema)


def test_compatible_schema_becomes_the_next_version(site: Site) -> None:
    """A new field with a default is taken, and the old version's id stays valid."""
    registry = Registry(os.environ["HOLDTRUE_REGISTRY"])
    subject = value_subject(site.plan.own_topic("dlq"))
    old = registry.lookup(subject, schema("dead-letter"))
    changed = schema("dead-letter")
    changed["fields"].append({"name": "new", "type": "string", "doc": "A default.", "default": ""})
    new = registry.register(subject, changed)
    assert old is not None
    assert new != old
    assert [field["name"] for field in registry.schema(old)["fields"]] == [
        f["name"] for f in schema("dead-letter")["fields"]
    ]
    assert registry.lookup(subject, schema("dead-letter")) == old


def test_a_later_version_of_ours_is_nothing_new_to_an_older_one(site: Site) -> None:
    """The process of an older holdtrue is started again after a newer one has registered its schemas."""
    registry = Registry(os.environ["HOLDTRUE_REGISTRY"])
    subject = value_subject(site.plan.own_topic("repairs.results"))
    later = schema("repair-result")
    later["fields"].append({"name": "new", "type": "string", "doc": "A default.", "default": ""})
    registry.register(subject, later)
    result = site.run("schemas", "register")
    assert result.exit_code == 0, result.exception
    (row,) = [row for row in json.loads(result.stdout)["schemas"] if row["subject"] == subject]
    assert (row["state"], row["versions"], row["reasons"]) == ("unchanged", 2, [])


def test_a_newest_version_that_is_somebody_elses_is_told_by_register_as_by_check(site: Site) -> None:
    """It came while the level was another one. What the answer advises brings ours back."""
    registry = Registry(os.environ["HOLDTRUE_REGISTRY"])
    subject = value_subject(site.plan.own_topic("signals"))
    registry.set_compatibility(subject, "NONE")
    foreign = {"type": "record", "name": "Stranger", "fields": [{"name": "their", "type": "long"}]}
    registry.register(subject, foreign)
    registry.set_compatibility(subject, "BACKWARD")
    for verb in ("check", "register"):
        result = site.run("schemas", verb)
        assert isinstance(result.exception, NotReady), verb
        assert subject in result.exception.what
        (row,) = [row for row in json.loads(result.stdout)["schemas"] if row["state"] == "incompatible"]
        assert row["subject"] == subject
        assert row["reasons"]
    assert "DELETE <kafka.registry>/subjects/<subject>/versions/latest" in result.exception.hint
    requests.delete(
        f"{os.environ['HOLDTRUE_REGISTRY']}/subjects/{subject}/versions/latest", timeout=10
    ).raise_for_status()
    for verb in ("check", "register"):
        assert site.run("schemas", verb).exit_code == 0, verb
    assert registry.latest(subject)[2] == schema("signal")  # type: ignore[index]


def test_unknown_id_is_told_from_a_registry_that_is_down(stack: None) -> None:
    """A real registry answers 404 for an id nobody registered."""
    with pytest.raises(UnknownSchema):
        Registry(os.environ["HOLDTRUE_REGISTRY"]).schema(2_000_000_000)


def test_events_are_written_and_readable_by_anybody(site: Site) -> None:
    """Sent and flushed: framed Avro with CloudEvents headers, in the partition asked for."""
    topic = site.plan.own_topic("signals")
    writer = EventWriter(os.environ["HOLDTRUE_KAFKA"], Registry(os.environ["HOLDTRUE_REGISTRY"]), client_id="test")
    writer.send(topic, "k", "signal", SIGNAL, cloud_event("holdtrue.signal", "/test"), partition=2)
    writer.flush()
    assert site.log.ends(topic) == {0: 0, 1: 0, 2: 1, 3: 0}
    assert site.log.values(topic)[0]["type"] == "Sync updated"


def test_event_for_a_topic_that_is_not_there_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker creates no topic by itself, and flush says so."""
    registry = Registry(os.environ["HOLDTRUE_REGISTRY"])
    topic = site.plan.own_topic("nowhere")
    writer = EventWriter(os.environ["HOLDTRUE_KAFKA"], registry, client_id="test")
    with pytest.raises(EventRefused, match="not registered"):
        writer.send(topic, None, "signal", SIGNAL)
    registry.register(value_subject(topic), schema("signal"))
    writer.send(topic, None, "signal", SIGNAL)
    with pytest.raises(EventsNotWritten):
        writer.flush(20)


def test_every_schema_of_ours_is_accepted_by_the_registry(stack: None) -> None:
    """What fastavro takes, the registry's own parser takes too."""
    registry = Registry(os.environ["HOLDTRUE_REGISTRY"])
    for name in schemas.schema_names():
        assert registry.register(value_subject(f"accepted.{name}"), schema(name)) > 0
