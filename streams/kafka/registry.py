"""A client of the schema registry's Confluent-compatible API: what workers need to decode, and verbs to register."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NewType, TypeVar
from urllib.parse import quote

import msgspec
import requests

from streams.errors import HoldtrueError, StoreUnavailable
from streams.kafka import answers
from streams.kafka.http import PASSING, Service, body

T = TypeVar("T")

Subject = NewType("Subject", str)
SchemaId = NewType("SchemaId", int)

# Schemas are immutable, so the cache needs no expiry; a plan has a few schemas per table and version.
CACHE_MAX: Final = 10_000
# What the API says beside a 404 of its own: of a subject, a version, a schema, a level.
_NOT_FOUND: Final = range(40400, 40500)
_API_HINT: Final = "kafka.registry must be a Confluent-compatible API (Apicurio: …/apis/ccompat/v7)."


class RegistryUnavailable(StoreUnavailable):
    """The registry could not be reached or could not answer now; says nothing about the schema asked for."""


class UnknownSchema(HoldtrueError):
    """The registry answered, and does not know this schema id."""


class NotAvro(HoldtrueError):
    """The registry has a schema of another kind under this id: whatever is framed with it is no Avro."""


class IncompatibleSchema(HoldtrueError):
    """The registry refused a schema under the subject's compatibility rule."""


class RegistryRefused(HoldtrueError):
    """The registry refused a request: rights, or an API that is not the Confluent-compatible one."""


class _Schema(msgspec.Struct):
    schema: str
    schemaType: str = "AVRO"  # noqa: N815 - the registry's own name


class _Registered(msgspec.Struct):
    id: int


class _Version(_Registered):
    version: int
    schema: str


class _Level(msgspec.Struct):
    compatibilityLevel: str  # noqa: N815 - the registry's own name


class _Compatible(msgspec.Struct):
    is_compatible: bool
    messages: list[str] | None = None


class Registry:
    """The registry at `url` (the base of the Confluent-compatible API). Safe to share between threads.

    Every call raises RegistryUnavailable when the registry does not answer, and RegistryRefused on an unexpected one.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, *, tries: int = 4) -> None:
        accept = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        self._http = Service(
            "The schema registry",
            url,
            RegistryUnavailable,
            headers={**accept, **(headers or {})},
            passing=PASSING | {500},
            tries=tries,
        )
        self._schemas: dict[int, str] = {}

    @property
    def url(self) -> str:
        """The address without credentials."""
        return self._http.shown

    def schema(self, schema_id: int) -> Any:
        """The Avro schema with this id, as parsed JSON. Raises NotAvro, and UnknownSchema: it is asked for again."""
        text = self._schemas.get(schema_id)
        if text is None:
            text = self._fetch(schema_id)
            if len(self._schemas) >= CACHE_MAX:
                self._schemas.clear()
            self._schemas[schema_id] = text
        return self._parsed(text)

    def _fetch(self, schema_id: int) -> str:
        response = self._http.call("GET", f"/schemas/ids/{schema_id}")
        if response.status_code == 404:
            raise UnknownSchema(
                f"The schema registry at {self.url} does not know schema id {schema_id}.",
                "Restore the registry that wrote it; the change is kept and tried again.",
            )
        found = self._expect(response, "look up a schema", _Schema)
        if found.schemaType != "AVRO":
            raise NotAvro(
                f"Schema id {schema_id} in the registry at {self.url} is {found.schemaType[:40]}, not Avro.",
                "See who writes such records to this topic.",
            )
        return found.schema

    def subjects(self) -> list[Subject]:
        """All subjects, sorted."""
        return sorted(map(Subject, self._expect(self._http.call("GET", "/subjects"), "list subjects", list[str])))

    def versions(self, subject: Subject) -> list[int]:
        """The subject's versions; empty when it has none."""
        response = self._http.call("GET", f"/subjects/{_part(subject)}/versions")
        return [] if self._absent(response) else self._expect(response, f"list versions of {subject}", list[int])

    def latest(self, subject: Subject) -> tuple[SchemaId, int, Any] | None:
        """(id, version, schema) of the newest version, or None when the subject has none."""
        response = self._http.call("GET", f"/subjects/{_part(subject)}/versions/latest")
        if self._absent(response):
            return None
        found = self._expect(response, f"read {subject}", _Version)
        return SchemaId(found.id), found.version, self._parsed(found.schema)

    def lookup(self, subject: Subject, schema: Any) -> SchemaId | None:
        """The id under which `schema` is registered in `subject`, or None; registers nothing."""
        response = self._http.call("POST", f"/subjects/{_part(subject)}", _payload(schema))
        if self._absent(response):
            return None
        return SchemaId(self._expect(response, f"look up {subject}", _Registered).id)

    def register(self, subject: Subject, schema: Any) -> SchemaId:
        """Register `schema` (the same one again is the same id). Raises IncompatibleSchema."""
        response = self._http.call("POST", f"/subjects/{_part(subject)}/versions", _payload(schema))
        if response.status_code == 409:
            raise IncompatibleSchema(
                f"The registry refused the new schema of {subject}: it is not compatible with the registered one.",
                "Give new fields a default and keep the old ones; `holdtrue schemas check` shows what is wrong.",
            )
        return SchemaId(self._expect(response, f"register {subject}", _Registered).id)

    def compatibility(self, subject: Subject) -> str | None:
        """The subject's own level, or None when it follows the registry's default."""
        response = self._http.call("GET", f"/config/{_part(subject)}")
        if self._absent(response):
            return None
        return self._expect(response, f"read the compatibility of {subject}", _Level).compatibilityLevel

    def default_compatibility(self) -> str:
        """The level of subjects without one of their own."""
        response = self._http.call("GET", "/config")
        return self._expect(response, "read the default compatibility", _Level).compatibilityLevel

    def set_compatibility(self, subject: Subject, level: str) -> bool:
        """Give `subject` its own level. False where the registry keeps none for a subject that has no schema yet."""
        response = self._http.call("PUT", f"/config/{_part(subject)}", {"compatibility": level})
        if self._absent(response):
            return False
        self._expect(response, f"set the compatibility of {subject}", dict[str, Any])
        return True

    def check(self, subject: Subject, schema: Any) -> list[str]:
        """What makes `schema` incompatible with the subject's newest version; empty when nothing does."""
        path = f"/compatibility/subjects/{_part(subject)}/versions/latest?verbose=true"
        response = self._http.call("POST", path, _payload(schema))
        if self._absent(response):
            return []
        found = self._expect(response, f"check {subject}", _Compatible)
        return [] if found.is_compatible else found.messages or ["the registry gives no reason"]

    def _absent(self, response: requests.Response) -> bool:
        """Whether there is no such subject, or schema in it. Raises RegistryRefused for another server's 404."""
        if response.status_code != 404:
            return False
        answer = body(response)
        if isinstance(answer, dict) and answer.get("error_code") in _NOT_FOUND:
            return True
        raise self._foreign()

    def _expect(self, response: requests.Response, what: str, shape: type[T]) -> T:
        if response.ok:
            return answers.read(response, shape, self._foreign())
        answer = body(response)
        reason = str(answer.get("message", "")) if isinstance(answer, dict) else ""
        raise RegistryRefused(
            f"The schema registry at {self.url} did not {what}: {response.status_code} {reason[:300]}".rstrip() + ".",
            f"{_API_HINT[:-1]}, with the rights for it.",
        )

    def _parsed(self, text: str) -> Any:
        return answers.parsed(text, self._foreign())

    def _foreign(self) -> RegistryRefused:
        return RegistryRefused(
            f"The schema registry at {self.url} answered something that is no registry's answer.", _API_HINT
        )

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()


def _part(subject: str) -> str:
    return quote(subject, safe="")


def _payload(schema: Any) -> dict[str, str]:
    return {"schema": json.dumps(schema), "schemaType": "AVRO"}
