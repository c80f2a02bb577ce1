"""What every service is given: where its files are, its ports, the password, and the artifacts it runs from."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streams.local import folders
from streams.local.artifacts import Lock
from streams.local.errors import StackError
from streams.local.fetch import Cache
from streams.local.ports import LOOPBACK

# A log larger than this is set aside when its service starts the next time; one older log is kept.
LOG_BYTES_MAX = 20_000_000


@dataclass(frozen=True)
class Site:
    """The data folder of one stack, with its ports (by name) and the password of both Postgres servers."""

    data: Path
    ports: Mapping[str, int]
    password: str
    cache: Cache
    lock: Lock

    def home(self, service: str) -> Path:
        """The folder with the data of a service; made if it is not there."""
        path = self.data / service
        path.mkdir(parents=True, exist_ok=True)
        return path

    def address(self, port: str) -> str:
        """`host:port` of a named port."""
        return f"{LOOPBACK}:{self.ports[port]}"

    def jars(self, group: str, services: folders.Services | None = None) -> Path:
        """A folder with all jars of an artifact group, and a manifest of `services` they provide."""
        return folders.linked(self.cache, group, self.lock[group], services)

    def archive(self, group: str, *, leave_out: tuple[str, ...] = ()) -> Path:
        """A folder with the unpacked archive of an artifact group."""
        return folders.unpacked(self.cache, group, self.lock[group][0], leave_out=leave_out)


def log_file(data: Path, service: str) -> Path:
    """The log of a service."""
    return data / "logs" / f"{service}.log"


def pid_file(data: Path, service: str) -> Path:
    """Where the process of a service is remembered."""
    return data / "run" / f"{service}.pid"


def turn_log(log: Path) -> None:
    """Set a large log aside, so that logs stay bounded."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))


def password(data: Path) -> str:
    """The password of this data folder's Postgres servers: made once, readable by its owner only."""
    file = data / "secrets.json"
    try:
        return str(json.loads(file.read_text())["postgres"])
    except FileNotFoundError:
        return _new_password(file)
    except (ValueError, KeyError, TypeError) as error:
        hint = "It holds the password of the Postgres servers; without it, start afresh: holdtrue down --wipe"
        raise StackError(f"The file {file} is damaged.", hint) from error


def _new_password(file: Path) -> str:
    made = secrets.token_urlsafe(24)
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as output:
        json.dump({"postgres": made}, output)
    fresh.replace(file)
    return made
