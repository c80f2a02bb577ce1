"""Ready-to-use folders made from cached artifacts, once: archives unpacked, jars linked side by side."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from streams.local.artifacts import Artifact
from streams.local.errors import StackError
from streams.local.fetch import Cache, sha256

# Java interface -> the classes that implement it.
Services = Mapping[str, Sequence[str]]
_MANIFEST = "SHA256SUMS"


def linked(cache: Cache, name: str, artifacts: Sequence[Artifact], services: Services | None = None) -> Path:
    """A folder of symbolic links to `artifacts`, for a class path or a plugin folder.

    `services` names what the jars provide, for those that came without a manifest of it.
    """

    def fill(folder: Path) -> None:
        for artifact in artifacts:
            (folder / artifact.filename).symlink_to(cache.path(artifact))
        if services:
            with zipfile.ZipFile(folder / "services.jar", "w") as jar:
                for interface, classes in services.items():
                    jar.writestr(f"META-INF/services/{interface}", "".join(f"{each}\n" for each in classes))

    return _made(_place(cache, name, artifacts, repr(services)), fill, _links_hold)


def unpacked(cache: Cache, name: str, archive: Artifact, *, leave_out: Sequence[str] = ()) -> Path:
    """A folder with the files of a tar archive, without those whose name starts with one of `leave_out`.

    Its files are compared with the checksums taken when it was unpacked; a damaged folder is unpacked again.
    """

    def fill(folder: Path) -> None:
        with tarfile.open(cache.path(archive)) as tar:
            tar.extractall(folder, filter="data")
        for path in [path for path in folder.rglob("*") if path.name.startswith(tuple(leave_out))]:
            path.unlink()
        _write_manifest(folder)

    return _made(_place(cache, name, [archive], *leave_out), fill, _manifest_holds)


def _place(cache: Cache, name: str, artifacts: Sequence[Artifact], *options: str) -> Path:
    """Where a folder is: other contents have another place, so that a new version never disturbs a running stack."""
    contents = (*sorted(artifact.sha256 for artifact in artifacts), *options)
    digest = hashlib.sha256("\n".join(contents).encode()).hexdigest()
    return cache.root.parent / "folders" / f"{name}-{digest[:12]}"


def _made(place: Path, fill: Callable[[Path], None], holds: Callable[[Path], bool]) -> Path:
    """`place`, filled beside it and renamed, so that a half-made folder is never seen."""
    if place.is_dir() and holds(place):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        fill(fresh)
        fresh.chmod(0o755)
        shutil.rmtree(place, ignore_errors=True)
        _rename(fresh, place)
    except (tarfile.TarError, EOFError) as error:
        raise StackError(f"{place.name} could not be unpacked ({error}).", "Run `holdtrue doctor`.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place


def _rename(fresh: Path, place: Path) -> None:
    try:
        fresh.rename(place)
    except OSError:
        # Another `up` that shares the cache made it meanwhile.
        if not place.is_dir():
            raise


def _links_hold(folder: Path) -> bool:
    return all(path.exists() for path in folder.iterdir())


def _write_manifest(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256(path)}  {path.relative_to(folder)}\n" for path in files]
    (folder / _MANIFEST).write_text("".join(lines))


def _manifest_holds(folder: Path) -> bool:
    manifest = folder / _MANIFEST
    if not manifest.is_file():
        return False
    entries = (line.split("  ", 1) for line in manifest.read_text().splitlines())
    return all(_is(folder / name, digest) for digest, name in entries)


def _is(path: Path, digest: str) -> bool:
    return os.access(path, os.R_OK) and sha256(path) == digest
