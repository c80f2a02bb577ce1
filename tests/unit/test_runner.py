"""`make test`: no end of a pytest but a good one is taken for one."""

from __future__ import annotations

import pytest

from tests import __main__ as runner


@pytest.mark.parametrize(("ending", "code"), [("true", 0), ("exit 1", 1), ("kill -9 $$", 1)])
def test_every_group_counts(
    ending: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that the kernel has killed: its code is negative."""
    folder = runner.SERVERS[0]
    monkeypatch.setattr(runner, "PYTEST", ("sh", "-c", f'case "$*" in *{folder}*) {ending};; esac', "pytest"))
    assert runner.main([]) == code
    assert "all tests took" in capsys.readouterr().out
