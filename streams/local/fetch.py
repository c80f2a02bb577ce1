"""Downloads: every artifact of the lock file into a cache, checked, in parallel, each whole or not there at all."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from streams.local import process
from streams.local.artifacts import Artifact
from streams.local.disk import require_space
from streams.local.errors import ArtifactError
from streams.local.packages import require
from streams.local.progress import Bar, Reporter

PARALLEL = 8
ATTEMPTS = 3
# An archive is kept beside what is unpacked from it, and unpacks to about its own size again.
SPACE_FACTOR = 3

_RETRY_HINT = (
    "Check the network connection (behind a proxy with its own certificates, set REQUESTS_CA_BUNDLE) and run "
    "`holdtrue up` again: files already fetched are kept."
)


class Source(Protocol):
    """Where artifacts come from."""

    def download(self, artifact: Artifact, folder: Path, bar: Bar) -> Path:
        """Fetch `artifact` into `folder` and return the file. Raises OSError or RuntimeError when it cannot."""


class MavenSource:
    """The repository that the Maven resolver `jgo` knows."""

    def download(self, artifact: Artifact, folder: Path, bar: Bar) -> Path:
        """Fetch through `jgo`, counting bytes as they come."""
        maven = require("jgo.maven")
        resolver = maven.PythonResolver(progress_callback=_counting(bar))
        context = maven.MavenContext(repo_cache=folder, local_repos=[], timeout=60, resolver=resolver)
        component = context.project(artifact.group, artifact.name).at_version(artifact.version)
        # The lock's checksum decides; jgo's own warning about a bad file would only say it twice.
        logging.getLogger("jgo").setLevel(logging.ERROR)
        return Path(component.artifact(classifier=artifact.classifier, packaging=artifact.packaging).resolve())


def _counting(bar: Bar) -> Callable[[str, int], object]:
    @contextmanager
    def one(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield bar.advance

    return one


class Cache:
    """Files of the lock below one folder, laid out as a Maven repository."""

    def __init__(self, root: Path, source: Source | None = None) -> None:
        # Servers work in another folder than the command that starts them.
        self.root = root.absolute() / "maven"
        self._incoming = root.absolute() / "incoming"
        self._source = source or MavenSource()

    def path(self, artifact: Artifact) -> Path:
        """Where the artifact is, or will be."""
        return self.root / artifact.path

    def bad(self, artifacts: Iterable[Artifact]) -> list[Artifact]:
        """Those of `artifacts` that are missing, or are not what the lock says. Reads every byte."""
        # One file can belong to several groups.
        listed = sorted(set(artifacts))
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            return [artifact for artifact, good in zip(listed, pool.map(self._good, listed), strict=True) if not good]

    def _good(self, artifact: Artifact) -> bool:
        path = self.path(artifact)
        return path.is_file() and path.stat().st_size == artifact.size and sha256(path) == artifact.sha256

    def ensure(self, artifacts: Sequence[Artifact], reporter: Reporter) -> None:
        """Fetch what is missing or damaged.

        Raises ArtifactError (a download failed or is not what the lock says) and StackError (no space on the disk).
        What arrived before an error stays.
        """
        wanted = self.bad(artifacts)
        if not wanted:
            return
        size = sum(artifact.size for artifact in wanted)
        require_space(self.root.parent, size * SPACE_FACTOR, "downloads")
        self._clear_incoming()
        with reporter.downloading(len(wanted), size) as bar, ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            stoppable = _Stoppable(bar)
            largest_first = sorted(wanted, key=lambda artifact: -artifact.size)
            futures = [pool.submit(self._fetch, artifact, stoppable) for artifact in largest_first]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                stoppable.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _clear_incoming(self) -> None:
        """Delete what downloads that were killed have left."""
        for folder in self._incoming.glob("*-*"):
            pid = folder.name.rpartition("-")[2]
            if pid.isdecimal() and process.birth(int(pid)) is None:
                shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, artifact: Artifact, bar: Bar) -> None:
        # A folder of our own per process: two `up` may share one cache.
        folder = self._incoming / f"{artifact.sha256[:16]}-{os.getpid()}"
        try:
            self._install(artifact, self._download(artifact, folder, bar))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _download(self, artifact: Artifact, folder: Path, bar: Bar) -> Path:
        for attempt in range(1, ATTEMPTS + 1):
            shutil.rmtree(folder, ignore_errors=True)
            counted = _Counted(bar)
            try:
                return self._source.download(artifact, folder, counted)
            except (OSError, RuntimeError) as error:
                _refuse_unwritable(error, folder)
                if attempt == ATTEMPTS:
                    reason = f"{artifact.coordinate} could not be downloaded ({type(error).__name__})."
                    raise ArtifactError(reason, _RETRY_HINT) from error
                bar.advance(-counted.size)
        raise AssertionError("the last attempt returns or raises")

    def _install(self, artifact: Artifact, downloaded: Path) -> None:
        """Move a checked file to its place; refuse any other."""
        found = sha256(downloaded)
        if found != artifact.sha256:
            raise ArtifactError(
                f"{artifact.coordinate} was refused: its SHA-256 is {found}, the lock file says {artifact.sha256}.",
                "Something between here and the repository changes files; run `holdtrue up` again, or ask who runs it.",
            )
        target = self.path(artifact)
        target.parent.mkdir(parents=True, exist_ok=True)
        downloaded.replace(target)


class _StoppedError(Exception):
    """Another download failed, or the user interrupted: this one ends at its next byte."""


class _Stoppable:
    """A bar that ends the download which counts on it, once `stopped` is set."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self.stopped = threading.Event()

    def advance(self, size: int) -> None:
        if self.stopped.is_set():
            raise _StoppedError
        self._bar.advance(size)


class _Counted:
    """A bar that knows what one attempt has counted, so that it can be taken back."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self.size = 0

    def advance(self, size: int) -> None:
        self.size += size
        self._bar.advance(size)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_unwritable(error: Exception, folder: Path) -> None:
    """What no further attempt mends: it is the folder, not the network."""
    number, named = (error.errno, error.filename) if isinstance(error, OSError) else (None, None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        raise ArtifactError(f"No space left on the disk of {folder.parent}.", "Free some and run `holdtrue up` again.")
    # A connection may be refused so too, but names no file.
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) and named:
        raise ArtifactError(
            f"The folder of downloads, {folder.parent}, cannot be written ({os.strerror(number)}).",
            "Change its permissions, or choose another place with XDG_CACHE_HOME.",
        )
