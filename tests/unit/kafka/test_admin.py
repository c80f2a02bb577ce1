from __future__ import annotations

import pytest

from streams.kafka.admin import TopicMismatch, Verdict, _altered, _verdict, refuse_differences
from streams.kafka.topics import Topic

TOPIC = Topic("t", 4, 1, "changes", {"cleanup.policy": "delete", "retention.ms": "60000"})


def test_topic_as_the_plan_needs_it_is_ok() -> None:
    """Equal partitions and settings are no finding, whatever other settings the topic has."""
    verdict = _verdict(TOPIC, 4, {"cleanup.policy": "delete", "retention.ms": "60000", "segment.ms": "1"})
    assert verdict == Verdict(TOPIC, "ok")
    refuse_differences([verdict])


def test_order_of_cleanup_policies_does_not_matter() -> None:
    """`compact,delete` and `delete,compact` are the same policy."""
    topic = Topic("d", 1, 1, "drift", {"cleanup.policy": "compact,delete"})
    assert _verdict(topic, 1, {"cleanup.policy": "delete,compact"}).state == "ok"


def test_other_partitions_and_policy_are_findings() -> None:
    """Each difference is named with what is there and what is needed."""
    verdict = _verdict(TOPIC, 2, {"cleanup.policy": "compact", "retention.ms": "60000"})
    with pytest.raises(TopicMismatch) as caught:
        refuse_differences([verdict])
    assert caught.value.exit_code == 1
    assert "t: partitions is 2, the plan needs 4" in caught.value.what
    assert "t: cleanup.policy is compact, the plan needs delete" in caught.value.what


def test_altering_never_settles_partitions() -> None:
    """After settings were brought into line, other partitions are still a difference."""
    verdict = _altered(_verdict(TOPIC, 2, {"cleanup.policy": "compact", "retention.ms": "60000"}))
    assert verdict.state == "different"
    assert [finding.setting for finding in verdict.findings] == ["partitions"]
