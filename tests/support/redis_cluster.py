"""A private Redis Cluster for tests that need one: some primaries with all slots, only on the loopback address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import redis

from tests.support.redis_server import free_port, private_redis
from tests.support.wait import wait_until

SLOTS = 16_384
# After so long without an answer the others give a node up.
NODE_TIMEOUT_MS = 2_000
# A node's second port is 10,000 higher.
PORT_MAX = 55_000


def cluster_port() -> int:
    """A TCP port for a node."""
    return next(port for port in iter(free_port, None) if port < PORT_MAX)


@contextmanager
def cluster_node(port: int | None = None) -> Iterator[str]:
    """One node that knows no other and has no slots; gives its URL."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS))
    with private_redis(*options, port=port or cluster_port()) as url:
        yield url


@contextmanager
def private_cluster(primaries: int = 3) -> Iterator[list[str]]:
    """Runs so many primaries until the context ends; gives their URLs."""
    with ExitStack() as stack:
        urls = [stack.enter_context(cluster_node()) for _ in range(primaries)]
        join(urls)
        yield urls


def join(urls: Sequence[str]) -> None:
    """Make these nodes one cluster, each with its share of the slots."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(redis.Redis.from_url(url, decode_responses=True)) for url in urls]
        for number, node in enumerate(nodes):
            share = range(SLOTS * number // len(nodes), SLOTS * (number + 1) // len(nodes))
            command(node, "CLUSTER ADDSLOTS", *share)
            command(node, "CLUSTER SET-CONFIG-EPOCH", number + 1)
        meet(urls[0], *urls[1:])
        wait_until(lambda: all(serves_all(url) for url in urls), "the nodes to be one cluster")


def meet(url: str, *others: str) -> None:
    """Introduce others to a node."""
    with redis.Redis.from_url(url) as node:
        for other in others:
            known = urlsplit(other)
            command(node, "CLUSTER MEET", known.hostname, known.port)


def node_id(url: str) -> str:
    """A node's name within its cluster."""
    with redis.Redis.from_url(url, decode_responses=True) as node:
        return str(command(node, "CLUSTER MYID"))


def command(client: redis.Redis, *words: object) -> Any:
    """What one server answers."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def serves_all(url: str) -> bool:
    """Whether a node knows the whole cluster, and finds it well."""
    state = _at(url, "CLUSTER INFO")
    return bool(state["cluster_state"] == "ok" and int(state["cluster_slots_ok"]) == SLOTS)


def know_each_other(one: str, other: str) -> bool:
    """Whether two nodes know each other by name, and are linked."""
    return _knows(one, other) and _knows(other, one)


def _knows(one: str, other: str) -> bool:
    known = {each["node_id"]: each for each in _at(one, "CLUSTER NODES").values()}
    found = known.get(node_id(other))
    return found is not None and found["connected"] and "handshake" not in found["flags"]


def opened_slot(slot: int, source: str, target: str) -> None:
    """Begin to move a slot."""
    _at(target, "CLUSTER SETSLOT", slot, "IMPORTING", node_id(source))
    _at(source, "CLUSTER SETSLOT", slot, "MIGRATING", node_id(target))


def move_keys(keys: Sequence[str], source: str, target: str) -> None:
    """Move these keys of a slot that is on its way."""
    known = urlsplit(target)
    _at(source, "MIGRATE", known.hostname, known.port, "", 0, 5000, "KEYS", *keys)


def move_slot(slot: int, source: str, target: str) -> None:
    """Move what is left of a slot, and give it to its new node."""
    opened_slot(slot, source, target)
    keys = _at(source, "CLUSTER GETKEYSINSLOT", slot, 1000)
    if keys:
        move_keys(keys, source, target)
    for url in (target, source):
        _at(url, "CLUSTER SETSLOT", slot, "NODE", node_id(target))


@contextmanager
def restored_slot(slot: int, source: str, target: str) -> Iterator[None]:
    """Whatever happens to a slot inside, it ends where it was."""
    try:
        yield
    finally:
        with suppress(redis.ResponseError):  # not its owner: the slot had not moved
            move_slot(slot, target, source)
        for url in (source, target):
            _at(url, "CLUSTER SETSLOT", slot, "STABLE")


def _at(url: str, *words: object) -> Any:
    with redis.Redis.from_url(url, decode_responses=True) as node:
        return command(node, *words)


def follow(replica: str, primary: str, others: Sequence[str]) -> None:
    """Make a node the replica of a primary, known to all, with all that its primary has."""
    meet(primary, replica)
    wait_until(lambda: all(know_each_other(url, replica) for url in {primary, *others}), "all to know the replica")
    _at(replica, "CLUSTER REPLICATE", node_id(primary))
    with redis.Redis.from_url(replica) as node:
        wait_until(lambda: node.info("replication").get("master_link_status") == "up", "the replica to follow")
