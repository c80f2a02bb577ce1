"""Downloads: whole and checked, or not there at all."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.local import disk
from streams.local.artifacts import Artifact
from streams.local.errors import ArtifactError, StackError
from streams.local.fetch import ATTEMPTS, Cache
from streams.local.progress import Bar, Silent

from .conftest import Repository


@pytest.fixture
def cache(tmp_path: Path, repository: Repository) -> Cache:
    """An empty cache in front of the repository."""
    return Cache(tmp_path, repository)


def _incoming(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "incoming").glob("*"))


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline


def test_missing_files_are_fetched_and_a_second_time_nothing_is(cache: Cache, repository: Repository) -> None:
    """A second `up` downloads nothing."""
    wanted = [repository.offer("a", b"one"), repository.offer("b", b"two")]
    cache.ensure(wanted, Silent())
    cache.ensure(wanted, Silent())
    assert sorted(repository.asked) == ["a", "b"]
    assert [cache.path(each).read_bytes() for each in wanted] == [b"one", b"two"]


def test_a_file_of_two_groups_is_fetched_once(cache: Cache, repository: Repository) -> None:
    """Groups share jars."""
    one = repository.offer("a")
    cache.ensure([one, one], Silent())
    assert repository.asked == ["a"]


@pytest.mark.parametrize("damage", [b"", b"c0ntent", b"content and more"])
def test_damaged_file_is_found_by_checksum_and_fetched_again(
    cache: Cache, repository: Repository, damage: bytes
) -> None:
    """Also when its size is right."""
    one = repository.offer("a", b"content")
    cache.ensure([one], Silent())
    cache.path(one).write_bytes(damage)
    assert cache.bad([one]) == [one]
    cache.ensure([one], Silent())
    assert cache.path(one).read_bytes() == b"content"


def test_download_with_other_content_is_refused_and_not_kept(
    cache: Cache, repository: Repository, tmp_path: Path
) -> None:
    """The sentence names the artifact and both checksums; nothing bad is in the cache."""
    one = repository.offer("a", b"content")
    repository.contents["a"] = b"tampered"
    with pytest.raises(ArtifactError, match=rf"org\.example:a:jar:1\.0 was refused.*{one.sha256}"):
        cache.ensure([one], Silent())
    assert not cache.path(one).exists()
    assert _incoming(tmp_path) == []


def test_a_download_that_fails_once_is_tried_again(cache: Cache, repository: Repository) -> None:
    """Networks hiccup."""
    one = repository.offer("a")

    def fail_first(_: Artifact) -> None:
        if len(repository.asked) == 1:
            raise ConnectionResetError

    repository.before = fail_first
    cache.ensure([one], Silent())
    assert repository.asked == ["a", "a"]


def test_a_download_that_keeps_failing_ends_with_one_sentence_and_keeps_the_rest(
    cache: Cache, repository: Repository
) -> None:
    """Finished files stay, so that the next attempt goes on from there."""
    good, bad = repository.offer("good", b"larger than the other"), repository.offer("bad", b"x")

    def fail_bad(artifact: Artifact) -> None:
        if artifact == bad:
            _await(cache.path(good).exists)
            raise ConnectionResetError

    repository.before = fail_bad
    with pytest.raises(ArtifactError, match=r"bad.*could not be downloaded"):
        cache.ensure([good, bad], Silent())
    assert repository.asked.count("bad") == ATTEMPTS
    assert cache.path(good).exists()


def test_one_failure_ends_the_other_downloads(cache: Cache, repository: Repository, tmp_path: Path) -> None:
    """Nobody waits for a large file that will not be used; it is not in the cache either."""
    slow, bad = repository.offer("slow", b"larger than the other"), repository.offer("bad", b"x")
    real = repository.download

    def endless_if_slow(artifact: Artifact, folder: Path, bar: Bar) -> Path:
        if artifact == bad:
            _await(lambda: "slow" in repository.asked)
            repository.contents["bad"] = b"tampered"
            return real(artifact, folder, bar)
        file = real(artifact, folder, bar)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            bar.advance(0)
        return file

    repository.download = endless_if_slow  # type: ignore[method-assign]
    with pytest.raises(ArtifactError, match="bad"):
        cache.ensure([slow, bad], Silent())
    assert not cache.path(slow).exists()
    assert _incoming(tmp_path) == []


def test_leftovers_of_a_killed_download_are_cleared(cache: Cache, repository: Repository, tmp_path: Path) -> None:
    """A kill -9 leaves a partial file outside of the cache; the next `ensure` removes it."""
    no_such_pid = 2**22 + 1
    partial = tmp_path / "incoming" / f"0123456789abcdef-{no_such_pid}" / "half.jar"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"ha")
    cache.ensure([repository.offer("a")], Silent())
    assert _incoming(tmp_path) == []


def test_too_little_disk_is_refused_before_anything_is_fetched(
    cache: Cache, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up front, with both figures."""
    monkeypatch.setattr(disk, "free_bytes", lambda _: 3)
    with pytest.raises(StackError, match="Not enough disk space for downloads"):
        cache.ensure([repository.offer("a")], Silent())
    assert repository.asked == []


def test_a_disk_that_fills_up_meanwhile_is_said_at_once(cache: Cache, repository: Repository) -> None:
    """Trying again would not help."""

    def no_space(_: Artifact) -> None:
        raise OSError(errno.ENOSPC, "no space")

    repository.before = no_space
    with pytest.raises(ArtifactError, match="No space left"):
        cache.ensure([repository.offer("a")], Silent())
    assert repository.asked == ["a"]


def test_what_a_failed_attempt_counted_is_taken_back(cache: Cache, repository: Repository) -> None:
    """The bar ends at the size, however often a download started."""
    one = repository.offer("a", b"12345")
    counted = _Counting()
    real = repository.download

    def fail_late(artifact: Artifact, folder: Path, bar: object) -> Path:
        file = real(artifact, folder, bar)  # type: ignore[arg-type]
        if len(repository.asked) == 1:
            raise ConnectionResetError
        return file

    repository.download = fail_late  # type: ignore[method-assign]
    cache.ensure([one], counted)
    assert counted.size == 5


class _Counting(Silent):
    size = 0

    def advance(self, size: int) -> None:
        self.size += size


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_cache_that_cannot_be_written_is_not_the_networks_fault(
    tmp_path: Path, repository: Repository, number: int
) -> None:
    """One attempt, and the folder is named."""
    wanted = repository.offer("a")

    def refuse(_: Artifact) -> None:
        raise OSError(number, "refused", str(tmp_path))

    repository.before = refuse
    with pytest.raises(ArtifactError, match="cannot be written") as caught:
        Cache(tmp_path, repository).ensure([wanted], Silent())
    assert str(tmp_path) in caught.value.what
    assert "XDG_CACHE_HOME" in caught.value.hint
    assert repository.asked == ["a"]
