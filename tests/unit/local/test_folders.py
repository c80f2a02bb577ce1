"""Folders made from cached artifacts."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from streams.local import folders
from streams.local.artifacts import Artifact
from streams.local.errors import StackError
from streams.local.fetch import Cache
from streams.local.progress import Silent

from .conftest import Repository


def _archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def cache(tmp_path: Path, repository: Repository) -> Cache:
    """An empty cache in front of the repository."""
    return Cache(tmp_path, repository)


def _cached(cache: Cache, repository: Repository, name: str, content: bytes) -> Artifact:
    entry = repository.offer(name, content)
    cache.ensure([entry], Silent())
    return entry


def test_unpacked_folder_has_the_files_and_is_made_once(cache: Cache, repository: Repository) -> None:
    """The second call finds it."""
    archive = _cached(cache, repository, "app", _archive({"lib/a.jar": b"A", "run.jar": b"R"}))
    folder = folders.unpacked(cache, "app", archive)
    made = folder.stat().st_ino
    assert (folder / "lib/a.jar").read_bytes() == b"A"
    assert folders.unpacked(cache, "app", archive).stat().st_ino == made


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"X"), lambda file: file.unlink()])
def test_damaged_unpacked_file_is_unpacked_again(cache: Cache, repository: Repository, damage: object) -> None:
    """Changed or gone, it comes back from the checked archive."""
    archive = _cached(cache, repository, "app", _archive({"run.jar": b"R"}))
    file = folders.unpacked(cache, "app", archive) / "run.jar"
    damage(file)  # type: ignore[operator]
    folders.unpacked(cache, "app", archive)
    assert file.read_bytes() == b"R"


def test_left_out_files_are_not_unpacked(cache: Cache, repository: Repository) -> None:
    """The JDBC sink's own jackson must not stand beside Kafka's."""
    archive = _cached(cache, repository, "sink", _archive({"sink/jackson-core.jar": b"J", "sink/sink.jar": b"S"}))
    folder = folders.unpacked(cache, "sink", archive, leave_out=("jackson-",))
    assert sorted(path.name for path in (folder / "sink").iterdir()) == ["sink.jar"]


def test_archive_that_cannot_be_read_is_one_sentence_and_leaves_nothing(cache: Cache, repository: Repository) -> None:
    """No half-made folder, under no name."""
    archive = _cached(cache, repository, "app", b"not an archive")
    with pytest.raises(StackError, match="could not be unpacked"):
        folders.unpacked(cache, "app", archive)
    assert list((cache.root.parent / "folders").iterdir()) == []


def test_archive_that_reaches_outside_is_refused(cache: Cache, repository: Repository, tmp_path: Path) -> None:
    """A path with `..` must not write elsewhere."""
    archive = _cached(cache, repository, "app", _archive({"../../escaped": b"X"}))
    with pytest.raises(StackError):
        folders.unpacked(cache, "app", archive)
    assert not list(tmp_path.rglob("escaped"))


def test_linked_folder_names_services_for_jars_that_do_not(cache: Cache, repository: Repository) -> None:
    """Connect then finds the converter without searching every class."""
    jar = _cached(cache, repository, "a", b"A")
    folder = folders.linked(cache, "plugin", [jar], {"some.Interface": ("some.Class",)})
    assert (folder / jar.filename).read_bytes() == b"A"
    with zipfile.ZipFile(folder / "services.jar") as services:
        assert services.read("META-INF/services/some.Interface") == b"some.Class\n"


def test_linked_folder_with_a_dangling_link_is_made_again(cache: Cache, repository: Repository) -> None:
    """The cache was emptied and filled again meanwhile."""
    jar = _cached(cache, repository, "a", b"A")
    folder = folders.linked(cache, "libs", [jar])
    (folder / jar.filename).unlink()
    (folder / jar.filename).symlink_to("/nowhere")
    assert (folders.linked(cache, "libs", [jar]) / jar.filename).read_bytes() == b"A"
