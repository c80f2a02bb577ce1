"""The way to the Redis server, or the cluster, that a URL leads to."""

from __future__ import annotations

import re
from contextlib import suppress
from threading import Lock
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from streams.replicas.base import Refused
from streams.replicas.redis_cluster import Cluster
from streams.replicas.redis_errors import translated
from streams.replicas.redis_single import Servers, Single

CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 10.0
_CONNECTIONS_MAX: Final = 8
# A socket's path is a file; of a server's address it can only be the number of a database.
_NUMBERED: Final = re.compile(r"unix://.*|rediss?://[^/?]*(/\d{0,5})?(\?.*)?").fullmatch


class Client:
    """Connections to what a URL leads to: one server, or a cluster with all its nodes. Opens nothing before it is used.

    Bounded in connections and waits; a call is sent again only where it was certainly not carried out.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._first = redis.Redis(connection_pool=_pool(url))
        self.where = _address(self._first)
        self._single = Single(self._first, self.where)
        self._servers: Servers | None = None
        self._lock = Lock()

    @property
    def servers(self) -> Servers:
        """Which of the two it is, the server says. Raises Refused, StoreUnavailable."""
        with self._lock:
            if self._servers is None:
                with translated(self.where):
                    clustered = self._first.info("cluster").get("cluster_enabled")
                    self._servers = self._cluster() if clustered else self._single
            return self._servers

    def histories(self) -> frozenset[str]:
        """The history of writes that each server has. Raises StoreUnavailable."""
        return self.servers.histories()

    def close(self) -> None:
        """Give back all connections."""
        for each in (self._servers, self._single):
            with suppress(RedisError, RedisClusterException, OSError):
                if each is not None:
                    each.close()

    def _cluster(self) -> Cluster:
        known = self._first.connection_pool.connection_kwargs
        if "path" in known:
            raise Refused(f"Redis at {self.where} is a cluster, which is not reached by one node's socket.",
                          "Write redis://host:port/0 of any of its nodes.")  # fmt: skip
        options: dict[str, Any] = {**_BOUNDS, "maint_notifications_config": MaintNotificationsConfig(enabled=False)}
        retry = Retry(NoBackoff(), 0)
        client = redis.RedisCluster.from_url(self._url, retry=retry, **options)
        return Cluster(client, known.get("host", "localhost"), known.get("port", 6379))


_BOUNDS: Final[dict[str, Any]] = {
    "connection_pool_class": redis.BlockingConnectionPool,
    "max_connections": _CONNECTIONS_MAX,
    "timeout": ANSWER_SECONDS,
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_timeout": ANSWER_SECONDS,
    "decode_responses": False,
}


def connect(url: str) -> Client:
    """A client for the URL; raises Refused where that cannot be read."""
    return Client(url)


def ping(url: str) -> bool:
    """Ask for a sign of life, in a cluster of every primary: whether all of them take writes.

    Raises Refused and StoreUnavailable, without the URL.
    """
    client = connect(url)
    try:
        client.servers.check(())
        return not client.servers.full()
    finally:
        client.close()


def _pool(url: str) -> redis.ConnectionPool:
    try:
        if not _NUMBERED(url):
            raise ValueError("redis-py would take a database that is no number for 0")
        options = {name: value for name, value in _BOUNDS.items() if name != "connection_pool_class"}
        pool = redis.BlockingConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **options)
        # Options it does not know are refused when the first connection is made, and that opens nothing.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, RedisError):
        # Its message may quote the password.
        raise Refused(
            "The URL of the Redis replica cannot be read.",
            "Write redis://[user:password@]host:port/0, with no options but redis-py's.",
        ) from None
    return pool


def _address(client: redis.Redis) -> str:
    known = client.connection_pool.connection_kwargs
    return str(known.get("path") or f"{known.get('host', 'localhost')}:{known.get('port', 6379)}")
