"""A private DynamoDB Local for tests that need one: in memory, its own port, only asked on the loopback address."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.local import folders
from streams.local.artifacts import load_lock
from streams.local.dynamodb import ACCESS_KEY, REGION
from streams.local.fetch import Cache
from streams.local.http import expect_ok
from streams.local.jvm import class_path, java
from streams.local.progress import Silent
from streams.settings import settings
from tests.support.redis_server import free_port

__all__ = ["REGION", "dynamodb_endpoint", "private_dynamodb"]

READY_SECONDS_MAX = 60
_HEADERS = {
    "X-Amz-Target": "DynamoDB_20120810.ListTables",
    "Content-Type": "application/x-amz-json-1.0",
    "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
}


@contextmanager
def dynamodb_endpoint() -> Iterator[str]:
    """The endpoint named by HOLDTRUE_TEST_DYNAMODB, else a private server until the context ends."""
    given = os.environ.get("HOLDTRUE_TEST_DYNAMODB")
    if given:
        yield given
        return
    with private_dynamodb() as endpoint:
        yield endpoint


@contextmanager
def private_dynamodb() -> Iterator[str]:
    """Runs a server until the context ends; gives its endpoint."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="holdtrue-dynamodb-") as home:
        log = Path(home) / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                _words(port), stdout=output, stderr=output, cwd=home, env={**os.environ, "DDB_LOCAL_TELEMETRY": "0"}
            )
        try:
            _wait_until_it_answers(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()  # nothing is saved
            server.wait(timeout=READY_SECONDS_MAX)


def _words(port: int) -> list[str]:
    cache, artifacts = Cache(settings().cache_dir), load_lock()["dynamodb"]
    cache.ensure(artifacts, Silent())
    jars = folders.linked(cache, "dynamodb", artifacts)
    options = (*class_path(jars), f"-Djava.library.path={jars}", "-XX:+UseSerialGC")
    main = "software.amazon.dynamodb.services.local.main.ServerRunner"
    return [*java(512, main, "-port", str(port), "-inMemory", "-sharedDb", "-disableTelemetry", options=options)]


def _wait_until_it_answers(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            expect_ok(endpoint, method="POST", headers=_HEADERS, body="{}")
            return
        except Exception as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"DynamoDB Local did not start: {log.read_text()[-2000:]}") from error
            time.sleep(0.1)
