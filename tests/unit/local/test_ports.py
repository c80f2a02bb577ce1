"""Ports: chosen once, remembered."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from streams.local.errors import StackError
from streams.local.ports import HIGHEST, LOOPBACK, LOWEST, Ports, is_free

NAMES = ("a", "b", "c")


def test_chosen_ports_are_distinct_free_and_below_those_of_outgoing_connections(tmp_path: Path) -> None:
    """So that they are still free when the stack comes back."""
    ports = Ports(tmp_path / "ports.json", NAMES).assign()
    assert len(set(ports.values())) == len(NAMES)
    assert all(LOWEST <= port <= HIGHEST and is_free(port) for port in ports.values())


def test_ports_are_remembered(tmp_path: Path) -> None:
    """The second `up` uses the same."""
    file = tmp_path / "ports.json"
    chosen = Ports(file, NAMES).assign()
    assert Ports(file, NAMES).known() == chosen
    assert Ports(file, NAMES).assign() == chosen


def test_a_base_fixes_the_ports_and_replaces_remembered_ones(tmp_path: Path) -> None:
    """In the order of the names."""
    ports = Ports(tmp_path / "ports.json", NAMES)
    ports.assign()
    assert ports.assign(20_000) == {"a": 20_000, "b": 20_001, "c": 20_002} == ports.known()


def test_ports_that_cannot_be_written_are_still_those_before(tmp_path: Path) -> None:
    """On a full disk, say; here a folder is in the way of the new file."""
    ports = Ports(tmp_path / "ports.json", NAMES)
    before = ports.assign()
    (tmp_path / "ports.new").mkdir()
    with pytest.raises(OSError, match=r"ports\.new"):
        ports.assign(20_000)
    assert ports.known() == before


@pytest.mark.parametrize("base", [-1, 80, 65_534, 70_000])
def test_a_base_out_of_range_is_refused(tmp_path: Path, base: int) -> None:
    """Privileged ports, and such as do not exist."""
    with pytest.raises(StackError, match="--port-base"):
        Ports(tmp_path / "ports.json", NAMES).assign(base)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": "x", "b": 2, "c": 3}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    """With what to do about it."""
    file = tmp_path / "ports.json"
    file.write_text(content)
    with pytest.raises(StackError, match=r"ports\.json, is damaged") as caught:
        Ports(file, NAMES).known()
    assert "delete it" in caught.value.hint


def test_a_port_somebody_listens_on_is_not_free() -> None:
    """And is free once he stops."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
