"""TCP ports of the services on the loopback interface: chosen once, then remembered in the data folder."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Sequence
from pathlib import Path

from streams.local.errors import StackError, StackUsageError

LOOPBACK = "127.0.0.1"
# Below the range from which Linux takes the ports of outgoing connections (32768 and up): while the stack is down,
# nothing but another server takes a remembered port.
LOWEST, HIGHEST = 15_000, 32_000
_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connection just ended is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            # Bound but not listening would pass on some systems while another listens on every interface.
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port that is free now, for a process that is started at once."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class Ports:
    """The port of every service name, kept in `file`."""

    def __init__(self, file: Path, names: Sequence[str]) -> None:
        self._file = file
        self._names = tuple(names)

    def known(self) -> dict[str, int]:
        """The remembered ports; empty before the first `up`. Raises StackError if the file is damaged."""
        try:
            found = json.loads(self._file.read_text())
            return {name: int(found[name]) for name in self._names}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            hint = "Stop the servers (holdtrue down) and delete it; `holdtrue up` chooses ports again."
            raise StackError(f"The file of remembered ports, {self._file}, is damaged.", hint) from error

    def assign(self, base: int | None = None) -> dict[str, int]:
        """The ports to use: from `base` upwards if given, else the remembered ones, else free ones. Remembers them."""
        ports = self._from(base) if base is not None else self.known() or self._chosen()
        self._remember(ports)
        return ports

    def _remember(self, ports: dict[str, int]) -> None:
        # Beside its place and then renamed: on a full disk the file would be emptied, and its ports lost.
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(ports, indent=1))
        fresh.replace(self._file)

    def check(self, base: int) -> None:
        """Raises StackUsageError unless there is a port for every service from `base` upwards."""
        if not 1024 <= base <= 65_535 - len(self._names):
            raise StackUsageError(f"--port-base {base} is out of range.", "Use a number from 1024 to 65000.")

    def _from(self, base: int) -> dict[str, int]:
        self.check(base)
        return {name: base + index for index, name in enumerate(self._names)}

    def _chosen(self) -> dict[str, int]:
        chosen: list[int] = []
        for _ in range(_ATTEMPTS):
            port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - any free port will do
            if port not in chosen and is_free(port):
                chosen.append(port)
            if len(chosen) == len(self._names):
                return dict(zip(self._names, chosen, strict=True))
        raise StackError("No free TCP ports were found on 127.0.0.1.", "Choose some: holdtrue up --port-base N")
