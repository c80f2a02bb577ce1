"""The connection to DynamoDB, and what its errors mean for a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError, PartialCredentialsError
from botocore.exceptions import ConnectionError as NoConnection

from streams.address import without_credentials
from streams.errors import StoreUnavailable
from streams.replicas.base import Refused, Unwelcome

CONNECTIONS_MAX: Final = 8
CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 10.0
Service = Literal["dynamodb", "dynamodbstreams"]
TABLES: Final = "dynamodb"
STREAMS: Final = "dynamodbstreams"
_ANY = ("local", "local")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

_THROTTLED = (
    "is throttling this table",
    "Raise its capacity, or let the worker go on more slowly; nothing is lost.",
)
_REASONS = {
    "ProvisionedThroughputExceededException": _THROTTLED,
    "ProvisionedThroughputExceeded": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "ThrottlingError": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "LimitExceededException": _THROTTLED,
    "TransactionConflictException": ("had another writer on the same keys", "Sending the batch again decides it."),
    "TransactionInProgressException": ("is still busy with this transaction", "Send the batch again."),
    "ResourceNotFoundException": (
        "does not have the table",
        "Start the worker again, which makes it; then validate, and repair what is missing.",
    ),
    "AccessDeniedException": ("does not allow these credentials what is needed", "Look at the role's permissions."),
    "UnrecognizedClientException": ("does not know these credentials", "Look at the AWS credentials of this process."),
    "InvalidSignatureException": ("refused the signature", "Look at the AWS secret key and this machine's clock."),
    "ExpiredTokenException": ("refused an expired session", "Renew the AWS credentials of this process."),
}
_UNWELCOME: Final = frozenset({"UnrecognizedClientException", "InvalidSignatureException"})


class Connection:
    """A client and the threads that use it, shared by the tables of a replica: so many connections and no more."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.pool = ThreadPoolExecutor(CONNECTIONS_MAX, thread_name_prefix="dynamodb")
        self._users = 0

    def hold(self) -> None:
        """One more table uses it."""
        self._users += 1

    def release(self) -> None:
        """A table is done with it; the last one ends the threads and closes the connections."""
        self._users -= 1
        if self._users <= 0:
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.client.close()


def connect(
    region: str, endpoint: str | None = None, *, access_key: str = "", secret_key: str = "", service: Service = TABLES
) -> Connection:
    """A connection with bounded waits that sends everything once; opens nothing yet.

    Credentials come from where the AWS SDK looks for them. A server on this machine (DynamoDB Local) wants some and
    takes any, so it is given some. What stands before the @ of an endpoint is of no use to it: it could only be shown.
    """
    endpoint = endpoint and without_credentials(endpoint)
    if service == STREAMS and _is_of_aws(endpoint):
        endpoint = None  # AWS serves streams at another address than tables, and the SDK knows it
    local = is_local(endpoint)
    if local and not access_key and "AWS_ACCESS_KEY_ID" not in os.environ:
        access_key, secret_key = _ANY
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        max_pool_connections=CONNECTIONS_MAX,
        parameter_validation=False,  # we make the parameters; checking them would take a third of the time
        **({"proxies": {}} if local else {}),
    )
    try:
        client = boto3.session.Session().client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=access_key or None,
            aws_secret_access_key=secret_key or None,
            config=config,
        )
    except (ValueError, BotoCoreError) as error:
        raise Refused(
            f"A DynamoDB client for region {region!r} cannot be made ({type(error).__name__}).",
            "Look at the replica's region and endpoint in the plan.",
        ) from error
    return Connection(client)


def is_local(endpoint: str | None) -> bool:
    """Whether it is a server on this machine: DynamoDB Local."""
    return endpoint is not None and urlsplit(endpoint).hostname in _LOOPBACK


def _is_of_aws(endpoint: str | None) -> bool:
    host = urlsplit(endpoint or "").hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


def code(error: ClientError) -> str:
    """The error's code, such as `ValidationException`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def unavailable(where: str, reason: str) -> StoreUnavailable:
    """The sentence for an error code."""
    what, hint = _REASONS.get(reason, (f"answered with {reason or 'an error'}", "Look at the service's health."))
    return StoreUnavailable(f"DynamoDB {where} {what}.", hint)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn every error that was not handled inside into StoreUnavailable; `where` is table and endpoint."""
    try:
        yield
    except ClientError as error:
        raise unavailable(where, code(error)) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreUnavailable(f"No AWS credentials for DynamoDB {where}.", "Set AWS_PROFILE or a role.") from error
    except (HTTPClientError, NoConnection) as error:
        hint = "Is it running, and the endpoint right?"
        raise StoreUnavailable(f"DynamoDB {where} cannot be reached ({type(error).__name__}).", hint) from error
    except BotoCoreError as error:
        hint = "Look at the endpoint, the region and the network."
        raise StoreUnavailable(f"DynamoDB {where} could not be asked ({type(error).__name__}).", hint) from error


@contextmanager
def configuring(where: str) -> Iterator[None]:
    """`translated`, but what waiting cannot mend is Refused: permissions; Unwelcome: credentials."""
    try:
        with translated(where):
            yield
    except StoreUnavailable as error:
        cause = error.__cause__
        said = code(cause) if isinstance(cause, ClientError) else ""
        if said in _UNWELCOME or isinstance(cause, NoCredentialsError):
            raise Unwelcome(error.what, error.hint) from error
        if said == "AccessDeniedException":
            raise Refused(error.what, error.hint) from error
        raise
