"""How answers look as a table."""

from __future__ import annotations

import pytest

from streams.cli.output import Output


def test_figures_have_groups_and_identifiers_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A process or an offset is copied into another command."""
    row = {"pid": 29910, "offset": 1234567, "rows": 29910, "seconds": 1234.5, "log": None}
    Output().rows("services", [row], list(row))
    assert capsys.readouterr().out.splitlines()[1].split() == ["29910", "1234567", "29,910", "1,234.500", "-"]


@pytest.mark.parametrize("text", ["[/b]", "a [red]x[/red] y", "x [0] [abc] z", ":cat:"])
def test_a_text_with_brackets_or_colons_stands_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A key is shown, not what a terminal would make of it."""
    Output().rows("drift", [{"key": {"name": text}}], ["key"])
    assert capsys.readouterr().out.splitlines()[1].rstrip() == f"name={text}"
