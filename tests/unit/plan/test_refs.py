"""References to secrets and addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from streams.plan.base import Part
from streams.plan.model import Control, Converter, Kafka
from streams.plan.refs import SECRET_BYTES_MAX, Brokers, SecretRef, UnresolvedReferenceError, WebEndpoint

BROKERS, WEB = TypeAdapter(Brokers), TypeAdapter(WebEndpoint)
PASSWORD = "hunter2-very-secret"


def test_reads_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value is looked up when it is asked for."""
    ref = SecretRef(env="HOLDTRUE_TEST_DSN")
    monkeypatch.setenv("HOLDTRUE_TEST_DSN", " postgresql://h/db\n")
    assert ref.resolve() == "postgresql://h/db"


def test_names_the_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not set, or empty, is named with what to do."""
    monkeypatch.setenv("HOLDTRUE_TEST_DSN", "")
    with pytest.raises(UnresolvedReferenceError, match="Set the environment variable HOLDTRUE_TEST_DSN"):
        SecretRef(env="HOLDTRUE_TEST_DSN").resolve()


def test_reads_a_file_and_names_it_when_it_is_not_there(tmp_path: Path) -> None:
    """A file holds the value; without it the error names the file."""
    path = tmp_path / "dsn"
    with pytest.raises(UnresolvedReferenceError, match=str(path)):
        SecretRef(file=path).resolve()
    path.write_text(PASSWORD + "\n")
    assert SecretRef(file=path).resolve() == PASSWORD


def test_reads_no_more_than_a_secret_can_be(tmp_path: Path) -> None:
    """A reference to a huge file does not fill the memory."""
    path = tmp_path / "huge"
    path.write_text("x" * (SECRET_BYTES_MAX * 2))
    assert len(SecretRef(file=path).resolve()) == SECRET_BYTES_MAX


@pytest.mark.parametrize(
    "bad", [f"postgresql://u:{PASSWORD}@h/db", {}, {"env": "A", "file": "b"}, {"env": "1 2"}, 5, [PASSWORD]]
)
def test_a_secret_is_only_a_reference_and_never_echoed(bad: object) -> None:
    """A literal secret is refused, and the error does not repeat it."""
    with pytest.raises(ValidationError) as caught:
        Control.model_validate({"dsn": bad})
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("bad", [f"http://u:{PASSWORD}@h:80", f"u:{PASSWORD}@h:9092", " ", 7])
def test_an_endpoint_with_a_password_is_refused_and_not_echoed(bad: object) -> None:
    """Addresses may be literal, but not with a password in them."""
    with pytest.raises(ValidationError) as caught:
        Converter.model_validate({"kind": "confluent", "url": bad})
    assert PASSWORD not in str(caught.value)


def test_an_endpoint_is_literal_or_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both forms resolve to the address."""
    monkeypatch.setenv("HOLDTRUE_TEST_KAFKA", "127.0.0.1:9092")
    assert BROKERS.validate_python("127.0.0.1:9092,127.0.0.1:9093").resolve() == "127.0.0.1:9092,127.0.0.1:9093"
    assert BROKERS.validate_python({"env": "HOLDTRUE_TEST_KAFKA"}).resolve() == "127.0.0.1:9092"


NO_URLS = [
    f"htp://u:{PASSWORD}@h:80", f"u:{PASSWORD}@h:80", f"http://h?key={PASSWORD}", f"http://u:1/{PASSWORD}@h", "http://",
    "h:80",
]  # fmt: skip
NO_BROKERS = [f"u:{PASSWORD}@h:9092", f"kafka://{PASSWORD}", "h:port", "h:1,", "h h"]


@pytest.mark.parametrize(
    ("part", "name", "bad"),
    [(Converter, "url", bad) for bad in NO_URLS] + [(Kafka, "bootstrap", bad) for bad in NO_BROKERS],
)
def test_a_value_that_is_no_address_is_refused_and_not_echoed(
    part: type[Part], name: str, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a password, or hold one: drivers repeat it in their errors, so that none ever gets it."""
    with pytest.raises(ValidationError, match=name) as refused:
        part.model_validate({"kind": "confluent", name: bad})
    monkeypatch.setenv("HOLDTRUE_TEST_ADDRESS", bad)
    address = (BROKERS if part is Kafka else WEB).validate_python({"env": "HOLDTRUE_TEST_ADDRESS"})
    with pytest.raises(UnresolvedReferenceError, match=r"\{env: HOLDTRUE_TEST_ADDRESS\} is not ") as caught:
        address.resolve()
    assert PASSWORD not in str(caught.value) + str(refused.value)


@pytest.mark.parametrize("good", ["http://h", "https://u:p@h:8081/apis/ccompat/v7", "http://[::1]:80/"])
def test_a_url_may_have_a_user_and_a_path(good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is found through a reference."""
    monkeypatch.setenv("HOLDTRUE_TEST_ADDRESS", good)
    assert WEB.validate_python({"env": "HOLDTRUE_TEST_ADDRESS"}).resolve() == good
