"""The requests that ask the HTTP servers whether they serve."""

from __future__ import annotations

from collections.abc import Mapping

import requests

from streams.local.service import REQUEST_SECONDS, UnhealthyError


def expect_ok(
    url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: str | None = None
) -> None:
    """Make one request. Raises UnhealthyError unless it is answered with status 200."""
    try:
        with requests.Session() as session:
            # A proxy set for the outside world must not see, or fail, requests to our own servers.
            session.trust_env = False
            answer = session.request(method, url, headers=headers, data=body, timeout=REQUEST_SECONDS)
    except requests.RequestException as error:
        raise UnhealthyError(type(error).__name__) from error
    if answer.status_code != 200:
        raise UnhealthyError(f"answered with HTTP status {answer.status_code}")
