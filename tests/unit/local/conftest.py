"""Artifacts made up on the spot, and a repository that serves them as a test wants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.local.artifacts import Artifact
from streams.local.progress import Bar


def artifact(name: str, content: bytes = b"content", packaging: str = "jar") -> Artifact:
    """An artifact with this content."""
    return Artifact("org.example", name, "1.0", packaging, "", len(content), hashlib.sha256(content).hexdigest())


class Repository:
    """Serves contents by artifact name. `before` runs ahead of every download and may fail it."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.before: Callable[[Artifact], None] = lambda _: None

    def offer(self, name: str, content: bytes = b"content") -> Artifact:
        """Have an artifact, and return its entry in the lock file."""
        self.contents[name] = content
        return artifact(name, content)

    def download(self, artifact: Artifact, folder: Path, bar: Bar) -> Path:
        """Write the content, counting it."""
        self.asked.append(artifact.name)
        self.before(artifact)
        target = folder / artifact.path
        target.parent.mkdir(parents=True)
        target.write_bytes(self.contents[artifact.name])
        bar.advance(len(self.contents[artifact.name]))
        return target


@pytest.fixture
def repository() -> Repository:
    """An empty repository."""
    return Repository()
