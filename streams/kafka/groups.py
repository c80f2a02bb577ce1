"""Who is in a consumer group."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import StoreUnavailable

ANSWER_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.25


def has_members(bootstrap: str, group: str, within_seconds: float) -> bool:
    """Whether anybody is in the group, or joins it within the time. A member that was killed stays for its session."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    deadline = time.monotonic() + within_seconds
    while not (found := _members(admin, group)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return found


def _members(admin: AdminClient, group: str) -> bool:
    try:
        described = admin.describe_consumer_groups([group], request_timeout=ANSWER_SECONDS)[group]
        return bool(described.result(ANSWER_SECONDS).members)
    except (KafkaException, TimeoutError) as error:
        raise StoreUnavailable(
            f"Kafka did not tell who is in the group {group}: {type(error).__name__}.", "See whether it is up."
        ) from None
