"""Redis errors as a person sees them."""

from __future__ import annotations

import pytest
from redis import exceptions

from streams.errors import StoreUnavailable
from streams.replicas.base import Refused
from streams.replicas.redis_client import connect
from streams.replicas.redis_errors import translated


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.OutOfMemoryError("command not allowed"), "out of memory"),
        (exceptions.ResponseError("OOM command not allowed when used memory > 'maxmemory'"), "out of memory"),
        (
            exceptions.ResponseError("Error running script (call to f_1): @user_script:6: @user_script: 6: -OOM no"),
            "memory",
        ),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "read-only"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "save to disk"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), "too few replicas"),
        (exceptions.ConnectionError("Error 111 connecting"), "cannot be reached"),
        (exceptions.TimeoutError("Timeout reading"), "in time"),
        (exceptions.AuthenticationError("invalid username-password pair"), "password"),
        (exceptions.MovedError("3999 127.0.0.1:6381"), "moves slots"),
        (exceptions.AskError("3999 127.0.0.1:6381"), "moving a slot"),
        (exceptions.TryAgainError("Multiple keys request during rehashing of slot"), "moving a slot"),
        (exceptions.ClusterDownError("The cluster is down"), "does not serve all slots"),
        (exceptions.SlotNotCoveredError('Slot "1" not covered by the cluster.'), "does not serve all slots"),
        (exceptions.RedisClusterException("All slots are not covered"), "does not serve all slots"),
        (ConnectionResetError(), "cannot be reached"),
    ],
)
def test_every_error_is_a_store_that_cannot_serve_now(error: Exception, words: str) -> None:
    """With address, reason and what to do, and nothing of the server's own text."""
    with pytest.raises(StoreUnavailable) as caught, translated("127.0.0.1:6379"):
        raise error
    assert words in caught.value.what
    assert "127.0.0.1:6379" in caught.value.what
    assert caught.value.hint


def test_of_a_cluster_what_its_node_answered_is_said() -> None:
    """The client wraps it, once or twice, in words of its own."""
    try:
        try:
            raise exceptions.NoPermissionError("this user has no permissions")
        except exceptions.ResponseError:
            raise exceptions.RedisClusterException("Cluster mode is not enabled")  # noqa: B904 - as the client does
    except exceptions.RedisClusterException as error:
        wrapped = exceptions.RedisClusterException("cannot be connected")
        wrapped.__cause__ = error
    with pytest.raises(StoreUnavailable, match="does not allow this user"), translated("127.0.0.1:6379"):
        raise wrapped


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@host:port/0",
        "http://:hunter2@host",
        "redis://:hunter2@[::1",
        "redis://host:1/0?foo=hunter2",
        "redis://host:1/0?protocol=hunter2",
    ],
)
def test_an_unreadable_url_is_refused_without_its_password(url: str) -> None:
    """The driver's own message may quote it."""
    with pytest.raises(Refused) as caught:
        connect(url)
    assert "hunter2" not in str(caught.value)
