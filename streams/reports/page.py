"""A report as one HTML file: it loads nothing, runs nothing, and reads well in the dark and on paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from streams.reports.blocks import Block, Chart, Document, Facts, Heading, Paragraph, Points, Table, visible
from streams.reports.chart import svg

# Nothing may be loaded, whatever a text in the page might say.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #57606a; --rule: #d0d7de; --paper: #ffffff;
        --line: #0550ae; --bound: #a40e26; --span: #ddf4ff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --faint: #9da7b3; --rule: #3d444d; --paper: #0d1117;
        --line: #79c0ff; --bound: #ff9492; --span: #14304d; } }
@media print { :root { color-scheme: light; --ink: #000000; --faint: #333333; --rule: #999999; --paper: #ffffff;
        --line: #000000; --bound: #000000; --span: #dddddd; } table, figure { break-inside: avoid; }
        table.long { break-inside: auto; } h2 { break-after: avoid; } thead { display: table-header-group; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; }
caption, figcaption { text-align: left; color: var(--faint); font-size: .9rem; padding-bottom: .3rem; }
figure { margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--rule); }
.word { overflow-wrap: anywhere; }
.figure { text-align: right; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.chart { width: 100%; height: auto; } .chart .label { font-size: 11px; fill: var(--faint); }
.chart .grid { stroke: var(--rule); } .chart .span { fill: var(--span); }
.chart .bound { stroke: var(--bound); stroke-dasharray: 6 4; } .chart .dot { fill: var(--line); }
.chart .line { fill: none; stroke: var(--line); stroke-width: 1.5; }
""".strip()
# A longer word may be broken where its column ends.
WORD_MAX: Final = 20
# A table of more rows may go over several pages.
LONG_ROWS: Final = 30


def page(document: Document) -> str:
    """The whole file."""
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(document.title)}</title>",
        f"<style>\n{STYLE}\n</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{_text(document.title)}</h1>",
    ]
    for number, block in enumerate(document.blocks):
        lines += _block(block, f"part{number}")
    return "\n".join([*lines, "</main>", "</body>", "</html>"]) + "\n"


def _block(block: Block, name: str) -> Iterator[str]:
    match block:
        case Heading():
            yield f"<h2>{_text(block.text)}</h2>"
        case Paragraph():
            yield f"<p>{_text(block.text)}</p>"
        case Points():
            yield "<ul>"
            yield from (f"<li>{_text(item)}</li>" for item in block.items)
            yield "</ul>"
        case Facts():
            yield "<table>"
            yield from (
                f'<tr><th scope="row">{_text(key)}</th><td>{_text(value)}</td></tr>' for key, value in block.rows
            )
            yield "</table>"
        case Table():
            yield from _table(block)
        case Chart():
            yield f"<figure><figcaption>{_text(f'{block.title}, in {block.unit}')}</figcaption>"
            yield f"{svg(block, name)}</figure>"


def _table(table: Table) -> Iterator[str]:
    yield f'<div class="wide"><table{" class=long" if len(table.rows) > LONG_ROWS else ""}>'
    yield f"<caption>{_text(table.caption)}</caption>"
    yield f"<thead><tr>{_cells(table.columns, table, 'th', ' scope=col')}</tr></thead>"
    yield "<tbody>"
    yield from (f"<tr>{_cells(row, table, 'td')}</tr>" for row in table.rows)
    yield "</tbody></table></div>"


def _cells(cells: Sequence[str], table: Table, tag: str, more: str = "") -> str:
    figures = (number in table.figures for number in range(len(cells)))
    return "".join(_cell(cell, tag, more, figure=figure) for cell, figure in zip(cells, figures, strict=True))


def _cell(text: str, tag: str, more: str = "", *, figure: bool = False) -> str:
    is_long = any(len(word) > WORD_MAX for word in text.split())
    kind = " class=figure" if figure else " class=word" if is_long else ""
    return f"<{tag}{more}{kind}>{_text(text)}</{tag}>"


def _text(text: str) -> str:
    return escape(visible(text))
