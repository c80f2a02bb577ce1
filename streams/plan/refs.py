"""References to what does not belong in a plan file: secrets and addresses that differ from place to place."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from streams.errors import HoldtrueError
from streams.plan.base import Part

# A DSN is short; more means that the reference points at the wrong file.
SECRET_BYTES_MAX: Final = 64 * 1024
_BROKER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
NOT_A_REFERENCE: Final = "must be a reference, {env: NAME} or {file: PATH}: a secret is never written into the plan"


class UnresolvedReferenceError(HoldtrueError):
    """A reference of the plan names a variable or a file that is not there."""


class SecretRef(Part):
    """Where a value is found when it is needed: an environment variable or a file. Holds no secret itself."""

    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, value: Any) -> Any:
        if not isinstance(value, dict | SecretRef):
            raise ValueError(NOT_A_REFERENCE)
        return value

    @model_validator(mode="after")
    def _names_one(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise ValueError("must name exactly one of env and file")
        return self

    def __str__(self) -> str:
        return f"{{env: {self.env}}}" if self.env else f"{{file: {self.file}}}"

    def resolve(self) -> str:
        """The value itself, without surrounding white space. Raises UnresolvedReferenceError naming what to set."""
        value = os.environ.get(self.env, "") if self.env else self._read()
        if not value.strip():
            raise UnresolvedReferenceError(f"The plan refers to {self}, which is not set or empty.", self._remedy())
        return value.strip()

    def _read(self) -> str:
        path = (self.file or Path()).expanduser()
        try:
            with path.open(encoding="utf-8") as stream:
                return stream.read(SECRET_BYTES_MAX)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise UnresolvedReferenceError(
                f"The file {path} of the plan cannot be read: {reason}.", self._remedy()
            ) from None

    def _remedy(self) -> str:
        if self.env:
            return f"Set the environment variable {self.env}."
        return f"Put the value into the file {self.file} and make it readable for this user."


class Address(Part, ABC):
    """An address that is no secret: written in the plan, or found through a reference."""

    literal: str | None = None
    ref: SecretRef | None = None

    # What an address must look like, for those who are told that theirs does not.
    wanted: ClassVar[str]

    def __str__(self) -> str:
        return self.literal if self.literal is not None else str(self.ref)

    @classmethod
    @abstractmethod
    def fits(cls, value: str) -> bool:
        """Whether a value looks like such an address. What does not is never shown: it may hold a password."""

    @classmethod
    def of(cls, value: object) -> object:
        """The address that stands in a plan. Raises ValueError for what is none."""
        if isinstance(value, Address):
            return value
        if isinstance(value, dict):
            return cls(ref=SecretRef.model_validate(value))
        if not isinstance(value, str):
            raise ValueError("must be text, {env: NAME} or {file: PATH}")
        literal = _without_password(value)
        if not cls.fits(literal):
            raise ValueError(f"must be {cls.wanted}")
        return cls(literal=literal)

    def resolve(self) -> str:
        """The address. Raises UnresolvedReferenceError naming the variable or file to set, or to correct."""
        if self.literal is not None:
            return self.literal
        assert self.ref is not None
        value = self.ref.resolve()
        if not self.fits(value):
            raise UnresolvedReferenceError(f"What the plan finds in {self.ref} is not {self.wanted}.", "Correct it.")
        return value


def references(part: object) -> Iterator[SecretRef | Address]:
    """Every reference and address in a part of the plan."""
    if isinstance(part, SecretRef | Address):
        yield part
    elif isinstance(part, Part):
        for name in type(part).model_fields:
            yield from references(getattr(part, name))


class WebAddress(Address):
    """Of a service that speaks HTTP."""

    wanted: ClassVar[str] = "http://HOST:PORT or https://HOST:PORT, with a path at most"

    @classmethod
    def fits(cls, value: str) -> bool:
        """Paths are put behind it, so that it has no query."""
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            return False
        # An @ in the path is one behind a password with a / in it, which would pass for host and path.
        further = parts.query or parts.fragment or "@" in parts.path
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not further


class BrokersAddress(Address):
    """Of some of Kafka's brokers."""

    wanted: ClassVar[str] = "HOST:PORT, or several of them with commas between"

    @classmethod
    def fits(cls, value: str) -> bool:
        """Hosts by name or number; ports can be left out."""
        return all(_BROKER.fullmatch(each.strip()) for each in value.split(","))


def _without_password(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if _has_password(value):
        raise ValueError("carries a password: use {env: NAME} or {file: PATH} instead")
    return value.strip()


def _has_password(value: str) -> bool:
    # A scheme is added where there is none, so that `user:password@host` is seen for what it is.
    try:
        return urlsplit(value if "//" in value else f"//{value}").password is not None
    except ValueError:
        return "@" in value


_REFERENCE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"env": {"type": "string"}, "file": {"type": "string"}},
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
Secret = Annotated[SecretRef, WithJsonSchema(_REFERENCE_SCHEMA)]
_ADDRESS_SCHEMA: Final[dict[str, Any]] = {"anyOf": [{"type": "string", "minLength": 1}, _REFERENCE_SCHEMA]}
WebEndpoint = Annotated[WebAddress, BeforeValidator(WebAddress.of), WithJsonSchema(_ADDRESS_SCHEMA)]
Brokers = Annotated[BrokersAddress, BeforeValidator(BrokersAddress.of), WithJsonSchema(_ADDRESS_SCHEMA)]
