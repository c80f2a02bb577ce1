"""Canned HTTP answers in place of a server."""

from __future__ import annotations

import json as json_
from typing import Any

import pytest
import requests


def answer(status: int, body: Any = None) -> requests.Response:
    """A response with this status and JSON body."""
    response = requests.Response()
    response.status_code = status
    response._content = b"" if body is None else json_.dumps(body).encode()
    return response


class Server:
    """Gives each request the next canned answer (the last one for ever) and keeps what was asked."""

    def __init__(self, *answers: requests.Response | Exception) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self._answers = list(answers)

    def put_in_place(self, monkeypatch: pytest.MonkeyPatch) -> Server:
        """Answer every session's requests from here on."""

        def request(_: requests.Session, method: str, url: str, *, json: Any, timeout: float) -> requests.Response:
            assert timeout <= 30
            return self._answer(method, url, json)

        monkeypatch.setattr(requests.Session, "request", request)
        return self

    def _answer(self, method: str, url: str, json: Any) -> requests.Response:
        self.asked.append((method, url, json))
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(found, Exception):
            raise found
        return found
