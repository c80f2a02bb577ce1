"""A private Redis for tests that need one: its own port, nothing on disk, only on the loopback address."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.local.packages import redis_server as program

READY_SECONDS_MAX = 20


@contextmanager
def redis_url() -> Iterator[str]:
    """The server named by HOLDTRUE_TEST_REDIS_URL, else a private one until the context ends."""
    given = os.environ.get("HOLDTRUE_TEST_REDIS_URL")
    if given:
        yield given
        return
    with private_redis() as url:
        yield url


@contextmanager
def private_redis(*options: str, port: int | None = None) -> Iterator[str]:
    """Runs a server (with more `--option value` words) until the context ends; gives its URL."""
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="holdtrue-redis-") as home:
        words = [str(program()), "--port", str(port), "--bind", "127.0.0.1", "--dir", home, "--save", "", *options]
        log = Path(home) / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(words, stdout=output, stderr=output)
        try:
            _wait_until_it_answers(port, server, log)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()  # nothing is saved
            server.wait(timeout=READY_SECONDS_MAX)


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            with redis.Redis(port=port, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
                client.ping()
            return
        except redis.AuthenticationError:
            return
        except redis.RedisError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Redis did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.02)
