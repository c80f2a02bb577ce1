from __future__ import annotations

import pytest
import requests

from streams.kafka.registry import (
    IncompatibleSchema,
    NotAvro,
    Registry,
    RegistryRefused,
    RegistryUnavailable,
    Subject,
    UnknownSchema,
)
from streams.kafka.wire import Decoder, NotOurFormat
from tests.unit.kafka.answers import Server, answer

URL = "http://me:geheim@registry:8080/apis/ccompat/v7/"
T = Subject("t-value")


def test_schema_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Schemas never change, so an id is asked for once; each caller gets a fresh copy."""
    server = Server(answer(200, {"schema": '{"type": "string"}'})).put_in_place(monkeypatch)
    registry = Registry(URL)
    assert registry.schema(7) == registry.schema(7) == {"type": "string"}
    assert registry.schema(7) is not registry.schema(7)
    assert len(server.asked) == 1


def test_a_schema_of_another_kind_is_named_and_is_no_fault_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text is no JSON; a record that is framed with it is no Avro, and must not end anybody."""
    Server(answer(200, {"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"})).put_in_place(monkeypatch)
    with pytest.raises(NotAvro, match="PROTOBUF"):
        Registry(URL).schema(7)
    with pytest.raises(NotOurFormat):
        Decoder("drift", Registry(URL)).decode(b"\x00\x00\x00\x00\x07rest")


def test_unknown_id_is_an_answer_and_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """404 means that the registry does not know the id (yet): no retry here, and nothing is remembered."""
    server = Server(answer(404, {"error_code": 40403}), answer(200, {"schema": '"long"'})).put_in_place(monkeypatch)
    registry = Registry(URL)
    with pytest.raises(UnknownSchema):
        registry.schema(9)
    assert registry.schema(9) == "long"
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "failure", [requests.ConnectionError("geheim"), requests.Timeout("geheim"), answer(503), answer(500)]
)
def test_registry_that_is_down_says_nothing_about_the_schema(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | requests.Response
) -> None:
    """No answer after a bounded number of tries is another error than an unknown id, and shows no credential."""
    server = Server(failure).put_in_place(monkeypatch)
    with pytest.raises(RegistryUnavailable) as caught:
        Registry(URL).schema(9)
    assert len(server.asked) == 3
    assert "geheim" not in str(caught.value)
    assert "http://registry:8080/apis/ccompat/v7" in str(caught.value)


def test_passing_failure_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One lost connection is no error."""
    Server(requests.ConnectionError(), answer(200, ["b", "a"])).put_in_place(monkeypatch)
    assert Registry(URL).subjects() == ["a", "b"]


def test_incompatible_schema_is_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """409 at registration names the subject and what to do."""
    Server(answer(409, {"message": "no"})).put_in_place(monkeypatch)
    with pytest.raises(IncompatibleSchema, match="t-value"):
        Registry(URL).register(T, {"type": "string"})


def test_lookup_registers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema is looked up by content; absent is None."""
    server = Server(answer(200, {"id": 4}), answer(404, {"error_code": 40403})).put_in_place(monkeypatch)
    registry = Registry(URL)
    assert registry.lookup(T, "long") == 4
    assert registry.lookup(T, "long") is None
    assert [url for _, url, _ in server.asked] == [
        "http://me:geheim@registry:8080/apis/ccompat/v7/subjects/t-value"
    ] * 2


def test_check_gives_the_registrys_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compatible is an empty list, as is a subject without a schema; else the reasons."""
    bad = answer(200, {"is_compatible": False, "messages": ["READER_FIELD_MISSING_DEFAULT_VALUE"]})
    Server(bad, answer(200, {"is_compatible": True}), answer(404, {"error_code": 40401})).put_in_place(monkeypatch)
    registry = Registry(URL)
    assert registry.check(T, "long") == ["READER_FIELD_MISSING_DEFAULT_VALUE"]
    assert registry.check(T, "long") == []
    assert registry.check(T, "long") == []


def test_incompatible_without_reasons_is_not_taken_for_compatible(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that gives no reasons still says no."""
    Server(answer(200, {"is_compatible": False})).put_in_place(monkeypatch)
    assert Registry(URL).check(T, "long") != []


def test_other_refusals_carry_the_registrys_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing rights, or another API under the URL: status and message are shown."""
    Server(answer(403, {"message": "not you"})).put_in_place(monkeypatch)
    with pytest.raises(RegistryRefused, match="403 not you"):
        Registry(URL).set_compatibility(T, "NONE")


@pytest.mark.parametrize(
    "content", [b"<html>no such page</html>", b'{"error_code": 404, "message": "HTTP 404 Not Found"}', b"[1]", b""]
)
@pytest.mark.parametrize("ask", ["versions", "latest", "lookup", "compatibility", "check"])
def test_a_page_that_is_not_there_is_no_subject_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, ask: str, content: bytes
) -> None:
    """Another server's 404, such as Kafka Connect's: the address is wrong, and nothing is to be registered."""
    missing = answer(404)
    missing._content = content
    Server(missing).put_in_place(monkeypatch)
    with pytest.raises(RegistryRefused, match="no registry's answer"):
        getattr(Registry(URL), ask)(*{"lookup": (T, "long"), "check": (T, "long")}.get(ask, (T,)))


@pytest.mark.parametrize("content", [b"<html>welcome</html>", b"[1]", b"{}", b'{"schema": "{"}', b'"x"', b""])
@pytest.mark.parametrize("ask", ["subjects", "schema", "latest", "register", "compatibility", "check"])
def test_another_servers_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch, ask: str, content: bytes) -> None:
    """A proxy's page, or JSON of another shape, with the address and without its credentials."""
    found = answer(200)
    found._content = content
    Server(found).put_in_place(monkeypatch)
    asked = {"subjects": (), "schema": (7,), "register": (T, "long"), "check": (T, "long")}.get(ask, (T,))
    with pytest.raises(RegistryRefused, match="no registry's answer") as caught:
        getattr(Registry(URL), ask)(*asked)
    assert "http://registry:8080/apis/ccompat/v7" in caught.value.what
    assert "geheim" not in str(caught.value)
