"""The lock file of the embedded stack: which Maven artifacts it is made of, with size and SHA-256 of each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

LOCK = Path(__file__).with_name("artifacts.lock.json")

# The groups that `up` needs; every other group of the lock file is fetched when something asks for it.
STACK_GROUPS = ("kafka", "debezium", "converter", "registry", "dynamodb")


@dataclass(frozen=True, slots=True, order=True)
class Artifact:
    """One file of a Maven repository: its coordinate, `size` in bytes, and SHA-256 in hex."""

    group: str
    name: str
    version: str
    packaging: str
    classifier: str
    size: int
    sha256: str

    @property
    def coordinate(self) -> str:
        """`group:name:packaging[:classifier]:version`, as people write it."""
        parts = (self.group, self.name, self.packaging, self.classifier, self.version)
        return ":".join(part for part in parts if part)

    @property
    def filename(self) -> str:
        """The file's name in a repository."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{classifier}.{self.packaging}"

    @property
    def path(self) -> PurePosixPath:
        """The file's path below the root of a repository, and of the cache."""
        return PurePosixPath(*self.group.split("."), self.name, self.version, self.filename)


Lock = dict[str, tuple[Artifact, ...]]


def load_lock(path: Path = LOCK) -> Lock:
    """The artifacts of every group, as the committed lock file has them."""
    groups = json.loads(path.read_text())["groups"]
    return {name: tuple(Artifact(**fields) for fields in entries) for name, entries in groups.items()}


def save_lock(lock: Lock, path: Path = LOCK) -> None:
    """Write a lock file: sorted, one artifact a line, so that a change reads well in a review."""
    groups = [f"{json.dumps(name)}: [\n{_lines(lock[name])}\n]" for name in sorted(lock)]
    path.write_text('{"groups": {\n' + ",\n".join(groups) + "\n}}\n")


def _lines(artifacts: Iterable[Artifact]) -> str:
    return ",\n".join(f"  {json.dumps(asdict(artifact))}" for artifact in sorted(artifacts))
