"""The HTTP server of a process."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

import pytest

from streams.health import STALLED_SECONDS, PortTaken, serve, stalled, url
from streams.settings import LOOPBACK


def ask(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_each_path_answers_for_what_it_is_asked() -> None:
    """Live, ready and metrics are three questions; the reason is in the answer."""
    state: dict[str, str | None] = {"live": None, "ready": "no partition is assigned yet"}
    port = serve(0, live=lambda: state["live"], ready=lambda: state["ready"])
    assert ask(port, "/livez") == (200, "ok\n")
    assert ask(port, "/readyz") == (503, "no partition is assigned yet\n")
    state.update(live="stalled", ready=None)
    assert ask(port, "/livez?verbose") == (503, "stalled\n")
    assert ask(port, "/readyz") == (200, "ok\n")
    status, text = ask(port, "/metrics")
    assert status == 200
    assert "python_info" in text
    assert ask(port, "/table")[0] == 404


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    """Also one that was taken by another holdtrue process."""
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {taken}.*--metrics-port") as caught:
            serve(taken, live=lambda: None, ready=lambda: None)
    assert caught.value.exit_code == 1
    port = serve(0, live=lambda: None, ready=lambda: None)
    with pytest.raises(PortTaken):
        serve(port, live=lambda: None, ready=lambda: None)


def test_only_the_loopback_address_listens() -> None:
    """Metrics name tables and replicas: they are for this machine unless somebody forwards them."""
    port = serve(0, live=lambda: None, ready=lambda: None)
    with socket.socket() as other:
        other.settimeout(5)
        # Another address of the loopback network reaches a server that listens everywhere.
        assert other.connect_ex(("127.0.0.2", port)) != 0


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.2"), ("::", "::1")])
def test_an_address_that_is_asked_for_listens(host: str, asked: str) -> None:
    """In a container, the loopback address is nobody else's."""
    if ":" in host and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    port = serve(0, live=lambda: None, ready=lambda: None, host=host)
    with socket.create_connection((asked, port), timeout=5) as other:
        other.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert other.makefile("rb").read().endswith(b"ok\n")


def test_an_address_of_another_machine_is_named_with_what_to_do() -> None:
    """It is no error of ours."""
    with pytest.raises(PortTaken, match=r"on 192\.0\.2\.1 .* no such address.* HOLDTRUE_METRICS_HOST"):
        serve(0, live=lambda: None, ready=lambda: None, host="192.0.2.1")


def test_an_address_is_shown_as_it_is_typed() -> None:
    """With brackets where it has colons."""
    assert (url("0.0.0.0", 9), url("::1", 9)) == ("http://0.0.0.0:9/metrics", "http://[::1]:9/metrics")


@pytest.mark.parametrize(
    ("idle", "behind", "bad"), [(0, True, False), (STALLED_SECONDS, True, False), (STALLED_SECONDS + 1, True, True),
                                (STALLED_SECONDS + 1, False, False)]
)  # fmt: skip
def test_stalled_means_work_and_no_progress(idle: float, behind: bool, bad: bool) -> None:
    """Nothing to do is not stalled, however long."""
    assert (stalled(1000.0, behind=behind, now=1000.0 + idle) is not None) == bad
