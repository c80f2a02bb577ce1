"""Requests to the registry and to Kafka Connect: bounded in time and tries, and never showing a credential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import requests
import stamina

from streams.address import without_credentials
from streams.errors import StoreUnavailable

TIMEOUT_SECONDS: Final = 10.0
TRIES: Final = 4
# Answers that another try may turn into a good one; 409 is Connect's "a rebalance is in progress".
PASSING: Final = frozenset({429, 502, 503, 504})

# Whoever called says what failed in the end; a line for every try would only stand between.
stamina.instrumentation.set_on_retry_hooks(())


class _Passing(Exception):
    """The server said that it cannot answer now."""


class Service:
    """One HTTP service under a base URL. `unavailable` is raised, with the service's name, when it does not answer."""

    def __init__(
        self,
        name: str,
        url: str,
        unavailable: type[StoreUnavailable],
        *,
        headers: Mapping[str, str] | None = None,
        passing: frozenset[int] = PASSING,
        tries: int = TRIES,
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self.shown = without_credentials(self.url)
        self._unavailable = unavailable
        self._passing = passing
        self._tries = tries
        self._session = requests.Session()
        # Only what the plan says: no proxy and no .netrc of the machine.
        self._session.trust_env = False
        self._session.headers.update(headers or {})

    def call(self, method: str, path: str, json: Any = None) -> requests.Response:
        """One answer, whatever its status, after at most `tries` attempts."""
        try:
            for attempt in stamina.retry_context(
                on=(requests.ConnectionError, requests.Timeout, _Passing),
                attempts=self._tries,
                timeout=3 * TIMEOUT_SECONDS,
                wait_initial=0.2,
                wait_max=2.0,
            ):
                with attempt:
                    return self._once(method, path, json)
        except (requests.RequestException, _Passing) as error:
            raise self._failed(error) from None
        raise AssertionError("a retry context ends with an answer or an error")

    def _once(self, method: str, path: str, json: Any) -> requests.Response:
        response = self._session.request(method, self.url + path, json=json, timeout=TIMEOUT_SECONDS)
        if response.status_code in self._passing:
            raise _Passing(f"it answered {response.status_code}")
        return response

    def _failed(self, error: Exception) -> StoreUnavailable:
        # The text of an error of requests may repeat the URL with its password.
        reason = {
            requests.ConnectionError: "no connection",
            requests.Timeout: "no answer in time",
            _Passing: str(error),
        }
        text = next((text for kind, text in reason.items() if isinstance(error, kind)), type(error).__name__)
        return self._unavailable(
            f"{self.name} at {self.shown} is not available: {text}.", "Start it (holdtrue up) or correct the plan."
        )

    def close(self) -> None:
        """Give back the connections."""
        self._session.close()


def body(response: requests.Response) -> Any:
    """The JSON of an answer, or {} where it is not JSON."""
    try:
        return response.json()
    except requests.JSONDecodeError:
        return {}
