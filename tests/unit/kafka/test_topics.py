from __future__ import annotations

import re
from datetime import timedelta

from streams.agents.checks import NAMED_BYTES_MAX, NAMED_MAX
from streams.connectors.render import RECORD_BYTES_MAX, milliseconds
from streams.kafka.schemas import schema_names
from streams.kafka.topics import (
    DEAD_LETTER_BYTES_MAX,
    Topic,
    changelog_topic,
    checks_topic,
    leader_topic,
    repairs_topic,
    topics_of,
)
from streams.plan.model import Plan
from streams.validation.rounds import REQUEST_BYTES


def by_name(plan: Plan) -> dict[str, Topic]:
    return {topic.name: topic for topic in topics_of(plan)}


def test_names_are_valid_and_differ(plan: Plan) -> None:
    """Every topic has a name of its own that Kafka accepts."""
    names = [topic.name for topic in topics_of(plan)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) for name in names)


def test_change_topics_are_never_compacted_and_kept_as_the_plan_says(plan: Plan) -> None:
    """A reader that was away needs every change: `delete`, for the plan's retention, in the plan's partitions."""
    for table, source in plan.tables.items():
        topic = by_name(plan)[plan.change_topic(table)]
        assert topic.partitions == source.partitions
        assert topic.config["cleanup.policy"] == "delete"
        assert topic.config["retention.ms"] == str(milliseconds(plan.kafka.retention))


def test_requests_and_changelogs_are_co_partitioned_with_the_changes(plan: Plan) -> None:
    """The owner of a change partition owns the same partition of requests and of its version table."""
    tables = {name: source.model_copy(update={"partitions": 7}) for name, source in plan.tables.items()}
    wide = plan.model_copy(update={"tables": tables})
    topics = by_name(wide)
    for replica, store in wide.replicas.items():
        for table in store.tables:
            for name in (checks_topic, repairs_topic, changelog_topic):
                assert topics[name(wide, replica, table)].partitions == 7


def test_faust_finds_the_topics_it_would_otherwise_make_itself(plan: Plan) -> None:
    """Changelog and leader topics carry the names Faust derives from the app's id, which is the group."""
    topics = by_name(plan)
    table = "public.pgbench_accounts"
    assert changelog_topic(plan, "reports", table) == f"{plan.group('reports')}-{table}-changelog"
    assert topics[changelog_topic(plan, "reports", table)].config["cleanup.policy"] == "compact"
    assert topics[leader_topic(plan, "reports")].partitions == 1


def test_tables_a_replica_does_not_copy_need_no_topics(plan: Plan) -> None:
    """Only what a replica copies has requests and a changelog."""
    assert checks_topic(plan, "lookup", "public.pgbench_tellers") not in by_name(plan)


def test_a_dead_letter_holds_the_largest_record(plan: Plan) -> None:
    """What the change topic takes fits into the dead-letter topic, with what is said about it."""
    dlq = by_name(plan)["holdtrue.dlq"]
    assert int(dlq.config["max.message.bytes"]) == DEAD_LETTER_BYTES_MAX > RECORD_BYTES_MAX


def test_every_topic_of_ours_takes_many_long_keys(plan: Plan) -> None:
    """Kafka's own limit is 1 MB: an answer names thousands of keys, each as long as an index entry may be."""
    own = [topic for topic in topics_of(plan) if topic.schema is not None]
    assert min(int(topic.config["max.message.bytes"]) for topic in own) == RECORD_BYTES_MAX
    assert RECORD_BYTES_MAX > 2 * (NAMED_BYTES_MAX + 1000 * NAMED_MAX) > 2 * REQUEST_BYTES


def test_own_topics_are_kept_as_the_interface_says(plan: Plan) -> None:
    """Audit is one partition for ever; drift is compacted and deleted; all carry a schema there is."""
    topics = by_name(plan)
    assert (topics["holdtrue.audit"].partitions, topics["holdtrue.audit"].config["retention.ms"]) == (1, "-1")
    assert topics["holdtrue.drift"].config["cleanup.policy"] == "compact,delete"
    own = [topic for topic in topics.values() if topic.name.startswith("holdtrue.") and topic.schema]
    assert {topic.schema for topic in own} == set(schema_names())


def test_prefix_of_own_topics_is_the_plans(plan: Plan) -> None:
    """Another prefix moves every topic of ours and none of Debezium's."""
    kafka = plan.kafka.model_copy(update={"topics": "truth"})
    topics = by_name(plan.model_copy(update={"kafka": kafka}))
    assert "truth.drift" in topics
    assert "bank.public.pgbench_accounts" in topics
    assert "holdtrue.drift" not in topics


def test_replicated_topics_need_all_but_one_copy(plan: Plan) -> None:
    """With three copies, an acknowledged record is on at least two."""
    kafka = plan.kafka.model_copy(update={"replication": 3, "retention": timedelta(days=3)})
    for topic in topics_of(plan.model_copy(update={"kafka": kafka})):
        assert (topic.replication, topic.config["min.insync.replicas"]) == (3, "2")
