"""The lock file."""

from __future__ import annotations

import re
from pathlib import Path

from streams.local.artifacts import LOCK, STACK_GROUPS, Artifact, load_lock, save_lock
from streams.local.lock import LEFT_OUT


def test_committed_lock_pins_every_file_of_every_group_by_size_and_checksum() -> None:
    """Nothing is fetched that is not pinned."""
    lock = load_lock()
    assert set(STACK_GROUPS) | {"bench"} == set(lock)
    for entry in (artifact for artifacts in lock.values() for artifact in artifacts):
        assert entry.size > 0
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256), entry


def test_committed_lock_names_no_host() -> None:
    """The resolver knows its repository; the lock does not."""
    assert "://" not in LOCK.read_text()


def test_one_version_of_each_file_in_a_group() -> None:
    """Two versions of one jar on a class path would shadow each other."""
    for group, artifacts in load_lock().items():
        keys = [(entry.group, entry.name, entry.classifier) for entry in artifacts]
        assert len(keys) == len(set(keys)), group


def test_converter_brings_none_of_connects_own_classes() -> None:
    """Its own copies would stand against those of the Connect it is loaded into."""
    assert not LEFT_OUT["converter"] & {entry.name for entry in load_lock()["converter"]}


def test_all_parts_of_kafka_have_one_version() -> None:
    """Mixed versions fail at start with missing methods."""
    versions = {entry.version for entry in load_lock()["kafka"] if entry.group == "org.apache.kafka"}
    assert len(versions) == 1


def test_saved_lock_reads_back_equal(tmp_path: Path) -> None:
    """What the developer command writes is what `up` reads."""
    file = tmp_path / "lock.json"
    save_lock(load_lock(), file)
    assert file.read_text() == LOCK.read_text()
    assert load_lock(file) == load_lock()


def test_coordinate_filename_and_path_of_a_classified_archive() -> None:
    """As repositories lay them out."""
    entry = Artifact("io.example.it", "plug", "2.0", "tar.gz", "plugin", 1, "00")
    assert entry.coordinate == "io.example.it:plug:tar.gz:plugin:2.0"
    assert str(entry.path) == "io/example/it/plug/2.0/plug-2.0-plugin.tar.gz"
