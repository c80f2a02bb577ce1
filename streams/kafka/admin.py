"""Creates the topics of a plan and verifies those that exist. Nothing that exists is changed without being asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from streams.errors import HoldtrueError, StoreUnavailable
from streams.kafka.topics import Topic

TIMEOUT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.1

# What to do about a topic with another number of partitions, by its role.
_OF_THE_PLAN: Final = (
    "State the number that is there in the plan; more would move keys to other owners. Where some were added to a "
    "topic in use, keys have moved: make it anew (docs/operations.md)."
)
# Nothing of these is needed again: fences and heartbeats are of the moment, and a leader is found anew.
_MAKE_ANEW: Final = (
    "Where the plan gives no number it is fixed: with the workers stopped and the connector deleted (holdtrue "
    "connectors delete --yes), delete the topic with Kafka's own tools; then run `holdtrue topics apply` and "
    "`holdtrue connectors apply`."
)
_ANOTHER_PREFIX: Final = "Topics of drift, results and the trail have fixed numbers: give kafka.topics another prefix."
_HINTS: Final = {
    **dict.fromkeys(("changes", "checks", "repairs", "changelog"), _OF_THE_PLAN),
    **dict.fromkeys(("messages", "heartbeat", "leader"), _MAKE_ANEW),
}


class KafkaUnavailable(StoreUnavailable):
    """No broker answered in time, or one answered that it cannot now."""


def unavailable(bootstrap: str, error: KafkaError) -> KafkaUnavailable:
    """The driver's error as ours: its own codes are negative and say that nobody answered, the others are answers."""
    reason = error.str().rstrip(".")
    if error.code() > 0:
        return KafkaUnavailable(f"Kafka at {bootstrap} answered: {reason}.", "Try again; if it stays, see its log.")
    return KafkaUnavailable(
        f"Kafka at {bootstrap} did not answer: {reason}.",
        "Start it (holdtrue up) or correct kafka.bootstrap of the plan.",
    )


def driver_error(error: KafkaException | TimeoutError) -> KafkaError:
    """What the driver raised, as its own kind of error: a future whose time is over tells nothing by itself."""
    return error.args[0] if isinstance(error, KafkaException) else KafkaError(KafkaError._TIMED_OUT)


class TopicRefused(HoldtrueError):
    """The broker did not create or alter a topic."""


class _TopicExists(TopicRefused):
    """The topic is there already."""


class TopicMismatch(HoldtrueError):
    """Topics exist that are not what the plan needs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which an existing topic is not what the plan needs; `setting` is partitions or a topic setting."""

    topic: str
    setting: str
    found: str
    needed: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.found}, the plan needs {self.needed}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one topic: created, ok, altered or different (with what differs)."""

    topic: Topic
    state: str
    findings: tuple[Finding, ...] = ()


class Life(NamedTuple):
    """One life of a topic. id: Kafka's own; a topic that is deleted and made again has another one."""

    id: str
    partitions: int


class Topics:
    """Topics on one cluster. Every call is bounded by TIMEOUT_SECONDS; raises KafkaUnavailable when none answers."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        # log_level 0: failures to connect are raised as one sentence, not written to stderr by the driver.
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "client.id": "holdtrue-topics"})

    def apply(self, topics: Sequence[Topic], *, alter: bool = False) -> list[Verdict]:
        """Create what is missing, verify what is there; with `alter`, bring settings (never partitions) into line."""
        existing = self._partitions()
        created = self._create([topic for topic in topics if topic.name not in existing])
        if any(topic.name not in existing for topic in topics):
            existing = self._all_visible([topic.name for topic in topics])
        present = [topic for topic in topics if topic.name not in created]
        verdicts = self._verify(present, existing)
        if alter and any(_alterable(verdict) for verdict in verdicts):
            verdicts = self._alter(verdicts, existing)
        return [Verdict(topic, "created") for topic in topics if topic.name in created] + verdicts

    def verify(self, topics: Sequence[Topic]) -> list[Verdict]:
        """What differs, creating nothing; a topic that is not there is `missing`."""
        existing = self._partitions()
        missing = [Verdict(topic, "missing") for topic in topics if topic.name not in existing]
        return missing + self._verify([topic for topic in topics if topic.name in existing], existing)

    def require(self, topics: Sequence[Topic]) -> None:
        """Raises TopicMismatch when one is not there or has other partitions: for those about to use them."""
        existing = self._partitions()
        missing = [topic.name for topic in topics if topic.name not in existing]
        if missing:
            more = f" and {len(missing) - 1} more" * (len(missing) > 1)
            raise TopicMismatch(f"Kafka has no topic {missing[0]}{more}.", "Run `holdtrue topics apply`.")
        for topic in topics:
            if existing[topic.name] != topic.partitions:
                raise TopicMismatch(
                    f"The topic {topic.name} has {existing[topic.name]} partitions, the plan needs {topic.partitions}.",
                    _partitions_hint([topic]),
                )

    def lives(self, names: Sequence[str]) -> dict[str, Life]:
        """Which life of each topic this is; a topic that is not there is left out."""
        futures = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=TIMEOUT_SECONDS)
        found = {}
        for name, future in futures.items():
            try:
                described = future.result(timeout=2 * TIMEOUT_SECONDS)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise self._unavailable(error) from None
            except TimeoutError:
                raise KafkaUnavailable(f"Kafka did not describe {name} in time.", "Is the broker healthy?") from None
            else:
                found[name] = Life(str(described.topic_id), len(described.partitions))
        return found

    def existing(self, names: Sequence[str]) -> list[str]:
        """Those of the topics that are there."""
        there = self._partitions()
        return [name for name in names if name in there]

    def delete(self, names: Sequence[str]) -> None:
        """Delete topics; one that is not there is deleted already."""
        futures = self._admin.delete_topics(list(names), operation_timeout=TIMEOUT_SECONDS) if names else {}
        for name, future in futures.items():
            try:
                future.result(timeout=2 * TIMEOUT_SECONDS)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise TopicRefused(
                        f"Kafka did not delete the topic {name}: {error.args[0].str().rstrip('.')}.",
                        "See whether the broker allows it.",
                    ) from None
            except TimeoutError:
                raise KafkaUnavailable(f"Kafka did not delete {name} in time.", "Run this again.") from None

    def _partitions(self) -> dict[str, int]:
        try:
            metadata = self._admin.list_topics(timeout=TIMEOUT_SECONDS)
        except KafkaException as error:
            raise self._unavailable(error) from None
        return {name: len(topic.partitions) for name, topic in metadata.topics.items()}

    def _all_visible(self, names: Sequence[str]) -> dict[str, int]:
        """The partitions of all topics, once the brokers' metadata has caught up with what was created."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not set(names) <= set(existing := self._partitions()):
            if time.monotonic() >= deadline:
                unseen = sorted(set(names) - set(existing))
                raise KafkaUnavailable(f"Kafka does not show the topics {', '.join(unseen)}.", "Try again.")
            time.sleep(POLL_SECONDS)
        return existing

    def _unavailable(self, error: KafkaException) -> KafkaUnavailable:
        return unavailable(self.bootstrap, error.args[0])

    def _create(self, topics: Sequence[Topic]) -> set[str]:
        if not topics:
            return set()
        futures = self._admin.create_topics([_new(topic) for topic in topics], operation_timeout=TIMEOUT_SECONDS)
        return {name for name, future in futures.items() if self._created(name, future)}

    def _created(self, name: str, future: Any) -> bool:
        try:
            self._done(future, f"Kafka did not create the topic {name}")
        except _TopicExists:
            return False  # metadata lags: somebody made it just now, so it is verified like any other
        return True

    def _done(self, future: Any, what: str) -> Any:
        try:
            return future.result(timeout=2 * TIMEOUT_SECONDS)
        except KafkaException as error:
            reason = error.args[0].str().rstrip(".")
            kind = _TopicExists if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS else TopicRefused
            raise kind(f"{what}: {reason}.", "Correct the plan's kafka section or the broker's rights.") from None
        except TimeoutError:
            raise KafkaUnavailable(f"{what}: no answer in time.", "See whether the brokers are healthy.") from None

    def _verify(self, topics: Sequence[Topic], existing: dict[str, int]) -> list[Verdict]:
        settings = self._settings([topic.name for topic in topics])
        return [_verdict(topic, existing[topic.name], settings[topic.name]) for topic in topics]

    def _settings(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        futures = self._admin.describe_configs(resources, request_timeout=TIMEOUT_SECONDS)
        found = {
            resource.name: self._done(future, f"Kafka did not describe the topic {resource.name}")
            for resource, future in futures.items()
        }
        return {name: {key: entry.value for key, entry in entries.items()} for name, entries in found.items()}

    def _alter(self, verdicts: Sequence[Verdict], existing: dict[str, int]) -> list[Verdict]:
        changes = {verdict.topic.name: _resource(verdict) for verdict in verdicts if _alterable(verdict)}
        futures = self._admin.incremental_alter_configs(list(changes.values()), request_timeout=TIMEOUT_SECONDS)
        for resource, future in futures.items():
            self._done(future, f"Kafka did not alter the topic {resource.name}")
        self._all_altered([verdict.topic for verdict in verdicts], existing)
        return [_altered(verdict) if verdict.topic.name in changes else verdict for verdict in verdicts]

    def _all_altered(self, topics: Sequence[Topic], existing: dict[str, int]) -> None:
        """Wait until the brokers show what was altered, so that a verification right after it finds it."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while left := [each.topic.name for each in self._verify(topics, existing) if _alterable(each)]:
            if time.monotonic() >= deadline:
                raise KafkaUnavailable(f"Kafka does not show altered settings of {', '.join(left)}.", "Try again.")
            time.sleep(POLL_SECONDS)


def _new(topic: Topic) -> NewTopic:
    config = dict(topic.config)
    return NewTopic(topic.name, num_partitions=topic.partitions, replication_factor=topic.replication, config=config)


def _verdict(topic: Topic, partitions: int, settings: dict[str, str]) -> Verdict:
    findings = [
        Finding(topic.name, name, settings.get(name, "not set"), needed)
        for name, needed in topic.config.items()
        if _normal(settings.get(name, "")) != _normal(needed)
    ]
    if partitions != topic.partitions:
        findings.insert(0, Finding(topic.name, "partitions", str(partitions), str(topic.partitions)))
    return Verdict(topic, "different" if findings else "ok", tuple(findings))


def _normal(value: str) -> tuple[str, ...]:
    return tuple(sorted(part.strip() for part in value.split(",")))


def _alterable(verdict: Verdict) -> bool:
    return any(finding.setting != "partitions" for finding in verdict.findings)


def _resource(verdict: Verdict) -> ConfigResource:
    entries = [
        ConfigEntry(finding.setting, finding.needed, incremental_operation=AlterConfigOpType.SET)
        for finding in verdict.findings
        if finding.setting != "partitions"
    ]
    return ConfigResource(ResourceType.TOPIC, verdict.topic.name, incremental_configs=entries)


def _altered(verdict: Verdict) -> Verdict:
    left = tuple(finding for finding in verdict.findings if finding.setting == "partitions")
    return Verdict(verdict.topic, "different" if left else "altered", left)


def refuse_differences(verdicts: Sequence[Verdict]) -> None:
    """Raises TopicMismatch naming everything that differs; returns when nothing does."""
    findings = [str(finding) for verdict in verdicts for finding in verdict.findings]
    if not findings:
        return
    moved = [v.topic for v in verdicts if any(finding.setting == "partitions" for finding in v.findings)]
    hints = ["Settings: run `holdtrue topics apply --alter`, or change the plan."] * any(map(_alterable, verdicts))
    hints += [f"Partitions: {_partitions_hint(moved)}"] * bool(moved)
    raise TopicMismatch("Topics are not what the plan needs: " + "; ".join(findings) + ".", " ".join(hints))


def _partitions_hint(topics: Sequence[Topic]) -> str:
    hints = {_HINTS.get(topic.role, _ANOTHER_PREFIX): None for topic in topics}
    return " ".join(hints)
