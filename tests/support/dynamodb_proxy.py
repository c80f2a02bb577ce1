"""A DynamoDB that fails as AWS's does: DynamoDB Local behind a server that answers some of the calls itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import requests

# From a call's body and a way to pass it on: what is answered instead of the service's own answer.
Forward = Callable[[dict[str, Any]], dict[str, Any]]
Fault = Callable[[dict[str, Any], Forward], "Answer"]
_TYPE = "com.amazonaws.dynamodb.v20120810#"
_PASSED = ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date", "X-Amz-Security-Token")


class Answer(Exception):
    """A status and a body; raised by nobody."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__()
        self.status = status
        self.body = body


class Proxy:
    """The server. `faults`: operation → what happens to its next calls, one after the other."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._faults: dict[str, list[Fault]] = {}
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # What was answered here instead of there.
        self.done = 0

    def fail(self, operation: str, fault: Fault, times: int = 1) -> None:
        """Have the next calls of an operation answered by this."""
        with self._lock:
            self._faults.setdefault(operation, []).extend([fault] * times)

    @property
    def left(self) -> int:
        """How many faults nobody has met yet."""
        return sum(map(len, self._faults.values()))

    def clear(self) -> None:
        """Fail no more."""
        with self._lock:
            self._faults.clear()

    @contextmanager
    def serving(self) -> Iterator[Proxy]:
        """Answer until the context ends."""
        thread = Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _next(self, operation: str) -> Fault | None:
        with self._lock:
            waiting = self._faults.get(operation)
            if not waiting:
                return None
            self.done += 1
            return waiting.pop(0)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """One call."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fault = proxy._next(self.headers["X-Amz-Target"].partition(".")[2])
                if fault is None:
                    self._answer(*self._forward(body))
                else:
                    answer = fault(json.loads(body), self._forwarded)
                    self._answer(answer.status, json.dumps(answer.body).encode())

            def _forwarded(self, asked: dict[str, Any]) -> dict[str, Any]:
                found: dict[str, Any] = json.loads(self._forward(json.dumps(asked).encode())[1])
                return found

            def _forward(self, body: bytes) -> tuple[int, bytes]:
                headers = {name: self.headers[name] for name in _PASSED if self.headers[name]}
                found = requests.post(proxy._endpoint, data=body, headers=headers, timeout=60)
                return found.status_code, found.content

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler


def refused(code: str) -> Fault:
    """The call does not take place, for this reason."""
    return lambda _asked, _forward: Answer(400, {"__type": _TYPE + code, "message": "as told by the test"})


def cancelled(code: str) -> Fault:
    """The transaction does not take place; the last of its items says why."""

    def answer(asked: dict[str, Any], _forward: Forward) -> Answer:
        fine = [{"Code": "None"}] * (len(asked["TransactItems"]) - 1)
        reasons = [*fine, {"Code": code, "Message": "as told by the test"}]
        return Answer(400, {"__type": _TYPE + "TransactionCanceledException", "Message": "cancelled",
                            "CancellationReasons": reasons})  # fmt: skip

    return answer


def half_read(asked: dict[str, Any], forward: Forward) -> Answer:
    """Half of the keys are read, the others left for another call."""
    ((table, wanted),) = asked["RequestItems"].items()
    keys = wanted["Keys"]
    read, left = keys[: len(keys) // 2], keys[len(keys) // 2 :]
    found = forward({"RequestItems": {table: {**wanted, "Keys": read}}}) if read else {"Responses": {table: []}}
    return Answer(200, {**found, "UnprocessedKeys": {table: {**wanted, "Keys": left}}})


def none_read(asked: dict[str, Any], _forward: Forward) -> Answer:
    """All keys are left for another call."""
    return Answer(200, {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]})
