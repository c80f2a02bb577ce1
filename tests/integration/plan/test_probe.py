"""Whether stores without a catalog answer, said without a secret."""

from __future__ import annotations

import pytest
import redis

from streams.errors import HoldtrueError, StoreUnavailable
from streams.replicas.probe import dynamo_tables
from streams.replicas.redis_client import ping
from tests.support.redis_server import private_redis

pytestmark = pytest.mark.stack
PASSWORD = "hunter2"


def test_a_redis_that_answers() -> None:
    """Nothing is said where nothing is wrong: the server was asked, and by who may ask."""
    with private_redis("--requirepass", PASSWORD) as url:
        with_password = url.replace("redis://", f"redis://:{PASSWORD}@")
        ping(with_password)
        with redis.Redis.from_url(with_password) as client:
            assert client.info("commandstats")["cmdstat_ping"]["calls"] == 1


def test_a_redis_with_another_password() -> None:
    """One sentence, without the password that was tried."""
    with (
        private_redis("--requirepass", "right") as url,
        pytest.raises(StoreUnavailable, match="refused the user or password") as caught,
    ):
        ping(url.replace("redis://", f"redis://:{PASSWORD}@"))
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}@127.0.0.1:1/0",
        f"http://:{PASSWORD}@h",
        PASSWORD,
        f"redis://:{PASSWORD}@h:1/notadb",
        f"redis://:{PASSWORD}@h:1/0/1",
    ],
)
def test_a_redis_that_is_not_there(url: str) -> None:
    """Refused connections, addresses that are none, and a database that redis-py would take for 0."""
    with pytest.raises(HoldtrueError) as caught:
        ping(url)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "nonsense"])
def test_a_dynamodb_that_is_not_there(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answered at once, with the endpoint and what to check."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
        dynamo_tables("local", endpoint, ["accounts"])
    assert endpoint in str(caught.value)
    assert PASSWORD not in str(caught.value)
