"""A report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from datetime import timedelta
from typing import Final

from streams.reports.blocks import Block, Chart, Document, Facts, Heading, Paragraph, Points, Table, visible, worst
from streams.reports.figures import shown_moment, shown_number

# Whatever Markdown or the HTML in it would take for its own.
# Within a word an underscore is one; no text of others begins a line.
_SPECIAL: Final = re.compile(r"[\\`*\[\]<>|~$&]|(?<!\w)_|_(?!\w)")
BAR_MAX: Final = 40
POINTS_MAX: Final = 40


def markdown(document: Document) -> str:
    """The whole text."""
    lines = [f"# {escaped(document.title)}"]
    for block in document.blocks:
        lines += ["", *_block(block)]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """The text as it stands, in one line."""
    return _SPECIAL.sub(lambda found: f"\\{found.group()}", visible(text))


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading():
            yield f"## {escaped(block.text)}"
        case Paragraph():
            yield escaped(block.text)
        case Points():
            yield from (f"* {escaped(item)}" for item in block.items)
        case Facts():
            yield from _table(("", ""), block.rows, frozenset())
        case Table():
            yield f"{escaped(block.caption)}:"
            yield ""
            yield from _table(block.columns, block.rows, block.figures)
        case Chart():
            yield from _chart(block)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], figures: Set[int]) -> Iterator[str]:
    yield _row(columns)
    yield _row(["---:" if number in figures else "---" for number in range(len(columns))], raw=True)
    yield from (_row(row) for row in rows)


def _row(cells: Sequence[str], *, raw: bool = False) -> str:
    return f"| {' | '.join(cell if raw else escaped(cell) for cell in cells)} |"


def _chart(chart: Chart) -> Iterator[str]:
    """A line of text for each point, as long as its value; `*` where the marked time is."""
    points = worst(chart.points, POINTS_MAX)
    known = [point.value for point in points if point.value is not None]
    most = max(known, default=0.0) or 1.0
    step = timedelta(seconds=chart.step_seconds * max(1, -(-len(chart.points) // POINTS_MAX)))
    yield f"{escaped(chart.title)} ({escaped(chart.unit)}; \\* is {escaped(chart.span_name)}):"
    yield ""
    for at, value in points:
        bar = "?" if value is None else "#" * round(value / most * BAR_MAX)
        mark = "*" if at <= chart.span[1] and at + step > chart.span[0] else " "
        yield f"    {shown_moment(at)} {mark} {'-' if value is None else shown_number(value):>12} {bar}".rstrip()
