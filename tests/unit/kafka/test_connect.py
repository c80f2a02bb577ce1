from __future__ import annotations

from contextlib import nullcontext

import pytest
import requests

from streams.connectors.errors import PrefixTaken, require_prefix
from streams.errors import NotReady
from streams.kafka import connect
from streams.kafka.connect import (
    SLOT_GONE,
    Connect,
    ConnectorFailed,
    ConnectorState,
    ConnectRefused,
    ConnectUnavailable,
    not_running,
)
from tests.unit.kafka.answers import Server, answer

URL = "http://connect:8083"
TRACE = "org.example.ConnectException: Couldn't start\n\tat a.b(C.java:1)\nCaused by: x.Y: password geheim is wrong\n"


def status(connector: str, *tasks: str, trace: str = "") -> requests.Response:
    listed = [{"id": n, "state": state, **({"trace": trace} if trace else {})} for n, state in enumerate(tasks)]
    return answer(200, {"name": "c", "connector": {"state": connector}, "tasks": listed})


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "POLL_SECONDS", 0.0)


def test_waits_until_a_task_is_there_and_every_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connector without tasks, or not yet known, is not running."""
    answers = [answer(404, {}), status("RUNNING"), status("RUNNING", "UNASSIGNED"), status("RUNNING", "RUNNING")]
    server = Server(*answers).put_in_place(monkeypatch)
    assert Connect(URL).wait_running("c").running
    assert len(server.asked) == 4


def test_failed_task_ends_the_wait_with_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error quotes the trace's first line and its last cause, without the password."""
    Server(status("RUNNING", "FAILED", trace=TRACE)).put_in_place(monkeypatch)
    with pytest.raises(ConnectorFailed) as caught:
        Connect(URL, secrets=["geheim"]).wait_running("c")
    assert "Couldn't start" in caught.value.what
    assert "x.Y: password ******** is wrong" in caught.value.what
    assert "C.java" not in caught.value.what


def test_slot_made_anew_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost changes ask for a snapshot and a full validation, not for a restart."""
    trace = f"io.debezium.DebeziumException: reading {'x' * 2000}, but this is {SLOT_GONE}. Reconfigure."
    Server(status("RUNNING", "FAILED", trace=trace)).put_in_place(monkeypatch)
    with pytest.raises(ConnectorFailed) as caught:
        Connect(URL).wait_running("c")
    assert "--forget" in caught.value.hint
    assert len(caught.value.what) < 500


def test_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connector that never runs is `not ready`, exit 3."""
    Server(status("RUNNING", "UNASSIGNED")).put_in_place(monkeypatch)
    with pytest.raises(NotReady, match="UNASSIGNED") as caught:
        Connect(URL).wait_running("c", seconds=0)
    assert caught.value.exit_code == 3
    assert "scheduled.rebalance.max.delay.ms" in caught.value.hint


@pytest.mark.parametrize(("prefix", "taken"), [("shop", True), ("bank", False), ("sho", False)])
def test_a_prefix_that_another_connector_sends_under_is_refused(
    monkeypatch: pytest.MonkeyPatch, prefix: str, taken: bool
) -> None:
    """Rows of two sources would be in one topic. Our own connector, and one of another kind, are no others."""
    configs = {
        "holdtrue-shop": {"topic.prefix": "shop", "name": "holdtrue-shop"},
        "holdtrue-bank": {"topic.prefix": "bank", "name": "holdtrue-bank"},
        "a sink": {"topics": "shop.public.t"},
    }
    listed = {name: {"info": {"name": name, "config": config}} for name, config in configs.items()}
    Server(answer(200, listed)).put_in_place(monkeypatch)
    with pytest.raises(PrefixTaken, match="holdtrue-shop sends") if taken else nullcontext():
        require_prefix(prefix, "holdtrue-bank", Connect(URL).configs())


@pytest.mark.parametrize(("connector", "task"), [("UNASSIGNED", "RUNNING"), ("RUNNING", "UNASSIGNED")])
def test_one_without_a_worker_is_named_with_what_to_do(connector: str, task: str) -> None:
    """Whether the connector or its task was lost in a rebalance."""
    wrong = not_running("c", ConnectorState("c", connector, (task,)))
    assert wrong is not None
    assert "UNASSIGNED" in wrong.what
    assert "scheduled.rebalance.max.delay.ms" in wrong.hint


def test_rebalance_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """409 means that Connect's workers rebalance: the request is sent again."""
    server = Server(answer(409, {}), answer(201, {})).put_in_place(monkeypatch)
    assert Connect(URL).put("c", {"a": "b"})
    assert server.asked[-1] == ("PUT", f"{URL}/connectors/c/config", {"a": "b"})


def test_refused_configuration_hides_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect repeats values in its messages; the password is not shown."""
    Server(answer(400, {"message": "Invalid value geheim for configuration"})).put_in_place(monkeypatch)
    with pytest.raises(ConnectRefused) as caught:
        Connect(URL, secrets=["geheim"]).put("c", {})
    assert "geheim" not in str(caught.value)
    assert "Invalid value" in str(caught.value)


def test_connect_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is one sentence that says what to start."""
    Server(requests.ConnectionError()).put_in_place(monkeypatch)
    with pytest.raises(ConnectUnavailable, match="holdtrue up"):
        Connect(URL).state("c")


def test_deleting_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting twice, or forgetting an unknown connector, is no error."""
    Server(answer(404, {})).put_in_place(monkeypatch)
    assert not Connect(URL).delete("c")
    assert not Connect(URL).forget("c")


def test_forgetting_stops_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets are deleted only when no task runs any more."""
    stopped = status("STOPPED")
    server = Server(answer(202), status("STOPPED", "RUNNING"), stopped, answer(200, {})).put_in_place(monkeypatch)
    assert Connect(URL).forget("c")
    assert [(method, url.rpartition("/")[2]) for method, url, _ in server.asked] == [
        ("PUT", "stop"),
        ("GET", "status"),
        ("GET", "status"),
        ("DELETE", "offsets"),
    ]


@pytest.mark.parametrize("content", [b"<html>welcome</html>", b"[1]", b'{"connector": 1}', b'"x"'])
@pytest.mark.parametrize("ask", ["state", "config", "restart", "delete"])
def test_another_servers_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch, ask: str, content: bytes) -> None:
    """A proxy's page, or JSON of another shape; to delete takes an answer of any object."""
    found = answer(200)
    found._content = content
    Server(found).put_in_place(monkeypatch)
    if ask in ("restart", "delete") and content.startswith(b"{"):
        getattr(Connect(URL), ask)("c")
        return
    with pytest.raises(ConnectRefused, match="no answer of Kafka Connect"):
        getattr(Connect(URL), ask)("c")


@pytest.mark.parametrize(
    ("said", "position"),
    [
        (answer(404, {"message": "HTTP 404 Not Found"}), 0),
        (answer(200, {"offsets": []}), 0),
        (answer(200, {"offsets": [{"partition": {"server": "a"}, "offset": {"lsn": 7, "txId": 9}}]}), 7),
        (answer(200, {"offsets": [{"partition": {"file": "a"}, "offset": {"line": 7}}, {"offset": None}]}), 0),
    ],
)
def test_up_to_where_the_log_was_read(monkeypatch: pytest.MonkeyPatch, said: requests.Response, position: int) -> None:
    """From the offsets that are kept; nothing is known of an older Connect, a new connector, or another kind."""
    Server(said).put_in_place(monkeypatch)
    assert Connect(URL).position("c") == position
