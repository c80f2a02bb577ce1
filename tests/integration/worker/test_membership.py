"""A consumer that is out of its group for good is noticed although it fetches nothing. Real Kafka, real aiokafka."""

from __future__ import annotations

import uuid
from asyncio import to_thread
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from streams.local.stack import Stack
from streams.transport.membership import failure
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
TOPIC = "a-topic-that-nobody-makes"


class ForeignTopic(RoundRobinPartitionAssignor):
    """Assigns what nobody asked for, as a leader does that reads another plan: the consumer's routine ends."""

    @classmethod
    def assign(cls, _: Any, members: Mapping[str, Any]) -> dict[str, ConsumerProtocolMemberAssignment]:
        return {member: ConsumerProtocolMemberAssignment(cls.version, [("foreign", [0])], b"") for member in members}


class Refused(RoundRobinPartitionAssignor):
    """Assigns nothing: the consumer's routine waits for a fetch to tell."""

    @classmethod
    def assign(cls, *_: Any) -> dict[str, ConsumerProtocolMemberAssignment]:
        raise ValueError("refused")


@asynccontextmanager
async def member(stack: Stack, assignor: type) -> AsyncIterator[Any]:
    """A consumer as Faust holds it, subscribed, that is never asked for records."""
    client = AIOKafkaConsumer(
        bootstrap_servers=stack.endpoints().environment()["HOLDTRUE_KAFKA"], group_id=f"m{uuid.uuid4().hex}",
        partition_assignment_strategy=(assignor,), enable_auto_commit=False,
    )  # fmt: skip
    held = SimpleNamespace(_thread=SimpleNamespace(_consumer=client))
    assert failure(held) is None
    await client.start()
    client.subscribe([TOPIC])
    try:
        yield held
    finally:
        with suppress(KafkaError):
            await client.stop()


@pytest.mark.parametrize("assignor", [ForeignTopic, Refused])
async def test_a_member_that_gave_up_is_a_failure(shared_stack: Stack, assignor: type) -> None:
    """Both ways in which aiokafka gives up."""
    async with member(shared_stack, assignor) as consumer:
        await to_thread(wait_until, lambda: failure(consumer), "the consumer to give up")
        assert isinstance(failure(consumer), KafkaError)


async def test_a_member_that_takes_part_is_none(shared_stack: Stack) -> None:
    """Also with nothing to read."""
    async with member(shared_stack, RoundRobinPartitionAssignor) as consumer:
        coordinator = consumer._thread._consumer._coordinator
        await to_thread(wait_until, lambda: coordinator.generation > 0, "the consumer to be in its group")
        assert failure(consumer) is None
