"""Who is in a consumer group."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.admin import KafkaUnavailable, driver_error, unavailable

ANSWER_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.25


class KafkaSilent(KafkaUnavailable):
    """No broker answered: whatever is asked next would wait as long."""


def has_members(bootstrap: str, group: str, within_seconds: float) -> bool:
    """Whether anybody is in the group, or joins it within the time. A member that was killed stays for its session.

    Raises KafkaUnavailable where Kafka does not tell: KafkaSilent where it says nothing at all.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    deadline = time.monotonic() + within_seconds
    while not (found := _members(admin, bootstrap, group)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return found


def delete_group(bootstrap: str, group: str) -> None:
    """Have Kafka forget the group and what it has committed; one that is not there is none to forget.

    Raises KafkaUnavailable where Kafka does not do it.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        admin.delete_consumer_groups([group], request_timeout=ANSWER_SECONDS)[group].result(ANSWER_SECONDS)
    except (KafkaException, TimeoutError) as error:
        if (said := driver_error(error)).code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise _named(bootstrap, said) from None


def _members(admin: AdminClient, bootstrap: str, group: str) -> bool:
    try:
        described = admin.describe_consumer_groups([group], request_timeout=ANSWER_SECONDS)[group]
        return bool(described.result(ANSWER_SECONDS).members)
    except (KafkaException, TimeoutError) as error:
        raise _named(bootstrap, driver_error(error)) from None


def _named(bootstrap: str, error: KafkaError) -> KafkaUnavailable:
    named = unavailable(bootstrap, error)
    return named if error.code() > 0 else KafkaSilent(named.what, named.hint)
