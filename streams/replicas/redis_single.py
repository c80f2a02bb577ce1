"""A Redis replica on one server: scripts over a few hundred keys a call, all calls of a batch in one round trip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

import redis
from redis.exceptions import NoScriptError, ReadOnlyError

from streams.replicas.redis_errors import translated
from streams.replicas.redis_script import Call, Script, portions, whole


class Servers(Protocol):
    """What a table needs of the server or servers behind its URL. All raise StoreUnavailable, and name the server."""

    where: str

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """The names' numbers, together where one call may take them: few enough, and of one slot in a cluster."""

    def run(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """Every call's answer, in order. A call is sent again only if it was certainly not carried out."""

    def scan(self, glob: str, count: int) -> Iterator[list[bytes]]:
        """The keys that match; one may come twice."""

    def check(self, scripts: Sequence[Script]) -> None:
        """Whether all that is needed is there and lets us in; makes the scripts known."""

    def histories(self) -> frozenset[str]:
        """The history of writes that each of them has: a server that takes over, or is restarted, begins another."""

    def full(self) -> bool:
        """Whether one of them takes no write because its memory is at its limit, and it may evict nothing."""

    def close(self) -> None:
        """Give back the connections."""


class Single:
    """One server."""

    def __init__(self, client: redis.Redis, where: str) -> None:
        self.where = where
        self._client = client

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Any keys may be together."""
        return list(portions(range(len(names))))

    def run(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """One round trip, and another where the server has to be told the script."""
        with translated(self.where):
            answers = send(self._client, script, calls)
            forgotten = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if forgotten:  # the server was restarted, or its script cache flushed: tell it again, and only once
                self._client.script_load(script.text)
                again = send(self._client, script, [calls[number] for number in forgotten])
                for number, answer in zip(forgotten, again, strict=True):
                    answers[number] = answer
        return whole(self.where, answers)

    def scan(self, glob: str, count: int) -> Iterator[list[bytes]]:
        """As the server lists them."""
        return scanned(self._client, self.where, glob, count)

    def check(self, scripts: Sequence[Script]) -> None:
        """Whether it lets us in."""
        with translated(self.where):
            self._client.ping()
            for script in scripts:
                self._client.script_load(script.text)

    def histories(self) -> frozenset[str]:
        """The server's own."""
        with translated(self.where):
            return frozenset([history(self._client)])

    def full(self) -> bool:
        """Whether it is the server itself."""
        with translated(self.where):
            return is_full(self._client)

    def close(self) -> None:
        """Close its connections."""
        self._client.connection_pool.disconnect()


def is_full(client: redis.Redis) -> bool:
    """Whether a server has reached its limit and can evict nothing: it answers, and refuses writes."""
    memory, keys = client.info("memory"), client.info("keyspace")
    policy, expiring = memory["maxmemory_policy"], sum(database["expires"] for database in keys.values())
    limit, used = int(memory["maxmemory"]), int(memory["used_memory"])
    kept = policy == "noeviction" or (policy.startswith("volatile-") and not expiring)
    return bool(kept and 0 < limit <= used)


def send(client: redis.Redis, script: Script, calls: Sequence[Call], *before: str) -> list[Any]:
    """The answers of one server to these calls, errors among them, in one round trip. before: sent before each call."""
    if not calls:
        return []
    with client.pipeline(transaction=False) as pipeline:
        for call in calls:
            for word in before:
                pipeline.execute_command(word)  # type: ignore[no-untyped-call]
            pipeline.evalsha(script.sha, *call)
        return pipeline.execute(raise_on_error=False)[len(before) :: len(before) + 1]


def history(client: redis.Redis) -> str:
    """What a server's history of writes is known by. Of one that only follows another this says nothing.

    The process, and where it branched off from the one it followed, if it ever did. Its own replication id will not do:
    a server changes that too when its first replica comes and an hour after its last one has left.
    """
    told = {**client.info("replication"), **client.info("server")}
    if told["role"] != "master":
        raise ReadOnlyError("it follows another")
    return "{run_id}:{master_replid2}:{second_repl_offset}".format_map(told)


def scanned(client: redis.Redis, where: str, glob: str, count: int) -> Iterator[list[bytes]]:
    """The keys of one server that match."""
    cursor: int | None = None
    while cursor != 0:
        with translated(where):
            cursor, names = client.scan(cursor or 0, match=glob, count=count)
        yield cast(list[bytes], names)
