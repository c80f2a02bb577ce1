"""A Redis replica in a Redis Cluster: one call per hash slot, one pipeline per primary.

A call that a node has sent on (MOVED, ASK) or not understood (NOSCRIPT) was not carried out and is sent again at once,
a few times; every other failure is the caller's, who sends the whole batch again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import redis
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, RedisError, TryAgainError

from streams.errors import StoreUnavailable
from streams.replicas.redis_errors import translated, unavailable
from streams.replicas.redis_script import Call, Script, portions, whole
from streams.replicas.redis_single import history, is_full, scanned, send

# How often a call is sent that no node has carried out: to a slot's owner and to the node that takes it over, each of
# which may have to be told the script, and once more where the slot has moved meanwhile.
SENDS_MAX: Final = 6
_NOT_DONE: Final = (AskError, NoScriptError)  # a MovedError is an AskError
Layout = dict[str, Any]
T = TypeVar("T")


class Cluster:
    """All primaries of a cluster. `where` is the address by which the cluster was found."""

    def __init__(self, client: redis.RedisCluster, host: str, port: int) -> None:
        self.where = f"{host}:{port}"
        # Asked too when no node that was known is there any more: its name may lead to another by now.
        self._given = [(host, port)]
        self._client = client
        self._nodes = client.nodes_manager
        # A node did not answer: which nodes there are is asked before anything else is.
        self._lost = False

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Keys of one slot are together; a script may touch no other."""
        slots: dict[int, list[int]] = {}
        for number, name in enumerate(names):
            slots.setdefault(key_slot(name.encode()), []).append(number)
        return [portion for numbers in slots.values() for portion in portions(numbers)]

    def run(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """A pipeline for each primary; another for what has to go elsewhere."""
        self._find_lost()
        answers: list[Any] = [None] * len(calls)
        asked: dict[int, ClusterNode] = {}
        pending: Sequence[int] = range(len(calls))
        for _ in range(SENDS_MAX):
            with translated(self.where):
                places = {number: asked.get(number) or self._owner(calls[number]) for number in pending}
            asking = ("ASKING",) if asked else ()  # changes nothing where the node is the slot's owner
            for node, mine in _by_node(places):
                with self._at(node) as client:
                    sent = send(client, script, [calls[number] for number in mine], *asking)
                for number, answer in zip(mine, sent, strict=True):
                    answers[number] = answer
            pending = [number for number in pending if isinstance(answers[number], _NOT_DONE)]
            if not pending:
                break
            asked = self._redirected(script, {number: (places[number], answers[number]) for number in pending})
        return whole(self.where, answers)

    def scan(self, glob: str, count: int) -> Iterator[list[bytes]]:
        """The keys of every primary. Raises StoreUnavailable in the end if a slot has moved, whose keys it may lack."""
        before = self._layout()
        for node in self._primaries():
            with self._at(node) as client:
                yield from scanned(client, node.name, glob, count)
        if self._layout() != before:
            raise unavailable(self.where, TryAgainError("slots have moved"))

    def check(self, scripts: Sequence[Script]) -> None:
        """Whether all slots are served, by primaries that let us in."""
        self._lost = True
        self._find_lost()
        for node in self._primaries():
            with self._at(node) as client:
                state = cast(dict[str, str], client.execute_command("CLUSTER INFO"))  # type: ignore[no-untyped-call]
                if state["cluster_state"] != "ok":
                    raise ClusterDownError("it says so itself")
                for script in scripts:
                    client.script_load(script.text)

    def histories(self) -> frozenset[str]:
        """Those of all primaries."""
        return frozenset(self._of_each(history))

    def full(self) -> bool:
        """Whether a primary is."""
        return any(self._of_each(is_full))

    def _of_each(self, look: Callable[[redis.Redis], T]) -> list[T]:
        """What each primary of now answers."""
        self._lost = True
        self._find_lost()
        found = []
        for node in self._primaries():
            with self._at(node) as client:
                found.append(look(client))
        return found

    def close(self) -> None:
        """Close the connections to all nodes."""
        self._client.disconnect_connection_pools()  # type: ignore[no-untyped-call]
        self._client.close()

    def _owner(self, call: Call) -> ClusterNode:
        return self._nodes.get_node_from_slot(key_slot(call[1].encode()))

    def _redirected(self, script: Script, pending: dict[int, tuple[ClusterNode, RedisError]]) -> dict[int, ClusterNode]:
        """Do what the nodes' answers ask for; which calls go to a node that is not the slot's owner yet."""
        now = {}
        for number, (_, answer) in pending.items():
            if isinstance(answer, MovedError):
                self._nodes.move_slot(answer)
            elif isinstance(answer, AskError):
                now[number] = self._named(answer)
        unknown = {node.name: node for node, answer in pending.values() if isinstance(answer, NoScriptError)}
        for node in unknown.values():  # its script cache is its own, and empty after a restart
            with self._at(node) as client:
                client.script_load(script.text)
        return now

    def _named(self, answer: AskError) -> ClusterNode:
        """The node an answer names; one that takes over its first slot is in no list yet."""
        return self._nodes.get_node(answer.host, answer.port) or ClusterNode(  # type: ignore[no-untyped-call]
            answer.host, answer.port
        )

    def _primaries(self) -> list[ClusterNode]:
        return list(self._client.get_primaries())  # type: ignore[no-untyped-call]

    def _layout(self) -> Layout:
        """Which slots each primary has, by its own account, and since when. Raises where one is on its way."""
        self._lost = True
        self._find_lost()
        found: Layout = {}
        for node in self._primaries():
            with self._at(node) as client:
                known = cast(dict[str, Any], client.execute_command("CLUSTER NODES"))  # type: ignore[no-untyped-call]
                mine = next(each for each in known.values() if "myself" in each["flags"])
                if mine["migrations"]:
                    raise TryAgainError("a slot is moving")
                found[mine["node_id"]] = (mine["slots"], mine["epoch"], mine["flags"])
        return found

    def _find_lost(self) -> None:
        if self._lost:
            with translated(self.where):
                self._nodes.initialize(additional_startup_nodes_info=self._given)
            self._lost = False

    @contextmanager
    def _at(self, node: ClusterNode) -> Iterator[redis.Redis]:
        """Errors are this node's; after one, the cluster is asked for its nodes before it is used again."""
        try:
            with translated(node.name):
                yield self._client.get_redis_connection(node)
        except StoreUnavailable:
            self._lost = True
            raise


def _by_node(places: dict[int, ClusterNode]) -> list[tuple[ClusterNode, list[int]]]:
    grouped: dict[str, tuple[ClusterNode, list[int]]] = {}
    for number, node in places.items():
        grouped.setdefault(node.name, (node, []))[1].append(number)
    return list(grouped.values())
