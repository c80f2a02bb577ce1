"""What `holdtrue doctor` can tell about this machine and the embedded stack, each as a finding with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from streams.local import packages
from streams.local.artifacts import STACK_GROUPS, Artifact, load_lock
from streams.local.disk import free_bytes
from streams.local.errors import StackError
from streams.local.fetch import Cache
from streams.local.stack import Stack
from streams.local.supervise import ServiceStatus, State, remedy
from streams.settings import settings

_PYTHON_OLDEST = (3, 11)
# All downloads, what is unpacked from them, and the first data.
_DISK_BYTES = 2_000_000_000
# Heaps of the four Java servers, what a JVM takes beside its heap, and both Postgres servers.
_MEMORY_BYTES = 3_500_000_000


class Outcome(StrEnum):
    """What a check came to. Something nobody asked for (no stack, say) is skipped, not failed."""

    ok = "ok"
    failed = "failed"
    skipped = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: `detail` is what was found, `advice` what to do if it failed."""

    check: str
    outcome: Outcome
    detail: str
    advice: str = ""


def judged(check: str, good: bool, detail: str, advice: str) -> Finding:
    """A finding that is either ok or failed; advice is kept only where it is needed."""
    return Finding(check, Outcome.ok if good else Outcome.failed, detail, "" if good else advice)


def python_version() -> Iterator[Finding]:
    """The Python that runs this."""
    detail = ".".join(map(str, sys.version_info[:3]))
    yield judged("python", sys.version_info >= _PYTHON_OLDEST, detail, "Install Python 3.11 or newer.")


def installed_packages() -> Iterator[Finding]:
    """The packages this distribution asks for, without those of extras."""
    wanted = [line for line in metadata.requires("holdtrue") or () if "extra ==" not in line]
    missing = [name for name in map(_package_name, wanted) if not _installed(name)]
    detail = f"missing: {', '.join(missing)}" if missing else f"{len(wanted)} packages"
    yield judged("packages", not missing, detail, "Install them: pip install holdtrue")


def _package_name(requirement: str) -> str:
    end = next((index for index, char in enumerate(requirement) if not (char.isalnum() or char in "-_.")), None)
    return requirement[:end]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def servers() -> Iterator[Finding]:
    """The programs that the `local` extra brings: present, and they run."""
    for name, find, option in (
        ("java", packages.java, "-version"),
        ("postgres", lambda: packages.postgres_bin() / "postgres", "--version"),
        ("redis", packages.redis_server, "--version"),
    ):
        try:
            program = find()
        except StackError:
            yield Finding(name, Outcome.skipped, "not installed", f"For the embedded stack: {packages.INSTALL}")
            continue
        yield judged(name, _runs(program, option), str(program), f"Install it again: {packages.INSTALL}")


def _runs(program: Path, option: str) -> bool:
    try:
        subprocess.run((str(program), option), check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def disk(stack: Stack) -> Iterator[Finding]:
    """Folders that must be writable, and the space in them."""
    for name, path in (("cache", settings().cache_dir), ("data", stack.data)):
        free = free_bytes(path)
        yield judged(f"disk: {name}", free >= _DISK_BYTES, f"{free / 1e9:.1f} GB free in {path}", "Free some space.")
        nearest = next(each for each in (path, *path.parents) if each.exists())
        writable = os.access(nearest, os.W_OK | os.X_OK)
        yield judged(f"writable: {name}", writable, str(nearest), "Change its permissions, or choose another folder.")


def memory(stack: Stack) -> Iterator[Finding]:
    """Memory for the embedded stack, unless it has it already."""
    free = _available_bytes()
    if free is None or any(each.pid for each in stack.services()):
        yield Finding("memory", Outcome.skipped, "the stack runs" if free is not None else "cannot be told here")
        return
    advice = "End other programs; the embedded stack needs about 3.5 GB."
    yield judged("memory", free >= _MEMORY_BYTES, f"{free / 1e9:.1f} GB available", advice)


def _available_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def downloads(cache: Cache) -> Iterator[Finding]:
    """Every cached download against the checksum in the lock file."""
    artifacts = [artifact for group in STACK_GROUPS for artifact in load_lock()[group]]
    present = [artifact for artifact in artifacts if cache.path(artifact).exists()]
    if not present:
        yield Finding("downloads", Outcome.skipped, "none yet; holdtrue up fetches them")
        return
    damaged = cache.bad(present)
    yield judged("downloads", not damaged, _downloads_detail(artifacts, present, damaged), "holdtrue up fetches again")


def _downloads_detail(artifacts: list[Artifact], present: list[Artifact], damaged: list[Artifact]) -> str:
    if damaged:
        return f"damaged: {', '.join(artifact.filename for artifact in damaged)}"
    return f"{len(present)} of {len(artifacts)} files, all as the lock file says"


def stack_services(stack: Stack) -> Iterator[Finding]:
    """Every server of the embedded stack by a real request; skipped where no stack was ever started, or all is down."""
    services = stack.services()
    if all(each.state is State.stopped for each in services):
        detail = "stopped" if services else "there is none"
        yield Finding("stack", Outcome.skipped, f"{detail} ({stack.data})", "Start it: holdtrue up")
        return
    yield from map(_service, services)


def _service(status: ServiceStatus) -> Finding:
    detail = f"{status.state} at {status.endpoint}"
    advice = f"{remedy([status.state])}; its log is {status.log}"
    return judged(f"stack: {status.service}", status.state is State.running, detail, advice)
