"""The HTTP server of a process: /metrics for Prometheus, /livez and /readyz for what watches it."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Final

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from streams.errors import HoldtrueError
from streams.settings import LOOPBACK

# A worker that has not moved for this long while there is work is stalled: longer than a rebalance and one slow batch.
STALLED_SECONDS: Final = 60.0
REQUEST_SECONDS: Final = 10.0
TEXT: Final = "text/plain; charset=utf-8"

# Why not, in one sentence for a person; None: all is well.
Reason = Callable[[], str | None]

# Why the system would not have us listen.
_REFUSED: Final = {
    errno.EADDRINUSE: "is in use",
    errno.EACCES: "may not be used by this user",
    errno.EADDRNOTAVAIL: "cannot be had: this machine has no such address",
    errno.EAFNOSUPPORT: "cannot be had: this machine has no such address",
}


class PortTaken(HoldtrueError):
    """The port for metrics and health cannot be had."""


def serve(port: int, *, live: Reason, ready: Reason, host: str = LOOPBACK) -> int:
    """Serve until the process ends; the port it listens on (0 takes a free one). Raises PortTaken.

    `live` and `ready` are called by another thread, at every request, and must be quick.
    """
    handler = type("Handler", (_Handler,), {"live": staticmethod(live), "ready": staticmethod(ready)})
    try:
        server = (_Server6 if ":" in host else _Server)((host, port), handler)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise PortTaken(
            f"Port {port} on {host} for metrics and health {_REFUSED[error.errno]}.",
            "Give another one with --metrics-port (HOLDTRUE_METRICS_PORT), or 0 for any free one; the address is "
            "HOLDTRUE_METRICS_HOST.",
        ) from None
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return int(server.server_address[1])


def url(host: str, port: int) -> str:
    """Where metrics are served, for people."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"


def stalled(progress_at: float, *, behind: bool, now: float | None = None) -> str | None:
    """The reason for `live`: there is work (`behind`) and none was done since `progress_at` (seconds since 1970)."""
    idle = (time.time() if now is None else now) - progress_at
    if not behind or idle <= STALLED_SECONDS:
        return None
    return f"stalled: there is lag, and no offset was committed for {idle:.0f} s"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Otherwise a second process could listen on the same port, and each would be asked by chance.
    allow_reuse_address = True
    allow_reuse_port = False

    def server_bind(self) -> None:
        """Without asking DNS for a name of ours, which nobody is told."""
        TCPServer.server_bind(self)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    live: Reason
    ready: Reason
    timeout = REQUEST_SECONDS
    server_version = "holdtrue"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the three paths."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
        elif path == "/livez":
            self._state(self.live())
        elif path == "/readyz":
            self._state(self.ready())
        else:
            self._answer(404, TEXT, b"there is /metrics, /livez and /readyz\n")

    def _state(self, reason: str | None) -> None:
        self._answer(200 if reason is None else 503, TEXT, f"{reason or 'ok'}\n".encode())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing: a scrape every few seconds is no news."""
