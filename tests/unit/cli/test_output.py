"""How answers look as a table."""

from __future__ import annotations

import pytest

from streams.cli.output import Output


def test_figures_have_groups_and_identifiers_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A process or an offset is copied into another command."""
    row = {"pid": 29910, "offset": 1234567, "rows": 29910, "seconds": 1234.5, "log": None}
    Output().rows("services", [row], list(row))
    assert capsys.readouterr().out.splitlines()[1].split() == ["29910", "1234567", "29,910", "1,234.500", "-"]
