"""Answers of the registry and of Kafka Connect, by the shape they must have: the address may be another server's."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import requests

from streams.errors import HoldtrueError

T = TypeVar("T")


def read(response: requests.Response, shape: type[T], foreign: HoldtrueError) -> T:
    """The JSON of a good answer as `shape`; an empty one is `{}`. Raises `foreign` for anything else."""
    try:
        return msgspec.json.decode(response.content or b"{}", type=shape)
    except msgspec.DecodeError:
        raise foreign from None


def parsed(text: str, foreign: HoldtrueError) -> Any:
    """The JSON that an answer carries as text. Raises `foreign` where it is none."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise foreign from None
