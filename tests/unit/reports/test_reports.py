"""The report of a run: the same text for the same content, and nothing in it that was not meant."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from streams.control.dossier import DRIFT_MAX
from streams.reports.blocks import Chart, Document, Facts, Heading, Paragraph, Point, Points, Table, visible, worst
from streams.reports.chart import HEIGHT, WIDTH, described, nice, stretches, svg
from streams.reports.markdown import escaped, markdown
from streams.reports.page import page
from streams.reports.run import FIGURES_MAX, run_report
from tests.unit.reports.dossiers import CORRECT, DRIFTED, INCOMPLETE, at, drifted, run, sample, samples
from tests.unit.reports.golden import FOLDER, reports

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)> ![x](http://x.example/) `|*_'
CELLS = re.compile(r"(?<!\\)\|")
VOID = frozenset({"meta", "rect", "line", "circle", "polyline"})


class Page(HTMLParser):
    """What a browser would make of a page, and whether every element ends."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """One more that has to end."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        """Ended at once."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        """The one that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """What is read."""
        self.text += data


def chart(*points: Point, bound: float | None = None, title: str = "Lag") -> Chart:
    """Of an hour, by the minute."""
    return Chart(title, "seconds", points, at(0), at(60), 60.0, (at(10), at(12)), "the run", bound, "bound")


def point(minute: int, value: float | None) -> Point:
    """At a minute."""
    return Point(at(minute), value)


@pytest.mark.parametrize("name", reports())
def test_a_report_is_as_it_is_meant_to_be(name: str) -> None:
    """The same content gives the same text; after a wanted change: python -m tests.unit.reports.golden"""
    assert (FOLDER / name).read_text(encoding="utf-8") == reports()[name]


@pytest.mark.parametrize("found", [CORRECT, DRIFTED, INCOMPLETE])
def test_a_page_stands_by_itself(found: Any) -> None:
    """Nothing of it is loaded, nothing runs, every element ends, and a policy says so to the browser."""
    text = page(run_report(found, 2.0))
    seen = Page(text)
    assert seen.open == []
    assert not seen.tags & {"script", "link", "img", "iframe", "object", "form", "a", "base", "use", "image"}
    assert not {name for name in seen.attributes if name.startswith("on")} | (seen.attributes & {"src", "href"})
    assert not any(word in text for word in ("://", "url(", "@import"))
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_what_others_have_written_is_text() -> None:
    """Keys, reasons and names of whoever asked may hold anything."""
    held = CORRECT.run | {"outcome": "drifted", "who": EVIL, "error": EVIL, "owner": EVIL, "drift_found": 1}
    row = drifted(1, id=EVIL, key={EVIL: EVIL}, cause=EVIL, columns=[EVIL], repair=EVIL)
    counts = [{"kind": "stale", "cause": EVIL, "state": "open", "count": 1, "records": 1}]
    repairs = [{**DRIFTED.repairs[0], "repair": EVIL, "reason": EVIL}]
    holds = [hold._replace(who=EVIL, why=EVIL) for hold in DRIFTED.holds]
    found = replace(CORRECT, plan=EVIL, run=held, drift=[row], counts=counts, repairs=repairs, holds=holds)
    document = run_report(found, 2.0)
    seen = Page(page(document))
    assert not seen.tags & {"script", "img"}
    assert seen.text.count(EVIL) > 10
    text = markdown(document)
    assert text.count(escaped(EVIL)) > 10
    assert re.search(r"(?<!\\)(<|!\[)", text) is None
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(CELLS.findall(row)) for row in table.splitlines()}) == 1


def test_what_nobody_would_see_is_shown_as_its_code() -> None:
    """A line break in a key, or a mark that turns the text around, changes nothing of what stands beside it."""
    assert visible("a\nb\u202ec\x1b[31m") == "a\\u{a}b\\u{202e}c\\u{1b}[31m"
    assert escaped("lag_seconds _x_ a*b & c\n") == "lag_seconds \\_x\\_ a\\*b \\& c\\\\u{a}"


def test_every_block_can_be_written_both_ways() -> None:
    """As text, and as elements."""
    blocks = [
        Heading("H"), Paragraph("P"), Points(["one"]), Facts([("a", "1")]), Table("T", ("x", "y"), [("1", "2")], {1}),
        chart(point(0, 1.0)),
    ]  # fmt: skip
    document = Document("All", blocks)
    text = markdown(document)
    assert [line for line in text.splitlines() if line][:4] == ["# All", "## H", "P", "* one"]
    assert "| --- | ---: |\n| 1 | 2 |" in text
    assert Page(page(document)).tags >= {"h1", "h2", "p", "ul", "table", "caption", "svg", "title", "desc"}


def test_of_much_drift_the_first_is_named_and_all_is_counted() -> None:
    """The list is bounded; the counts are exact."""
    counts = [{"kind": "missing", "cause": "unknown", "state": "open", "count": 54_321, "records": 54_321}]
    rows = [drifted(number) for number in range(DRIFT_MAX)]
    held = run(outcome="drifted", drift_found=100_000, failed=7)
    text = markdown(run_report(replace(CORRECT, run=held, counts=counts, drift=rows), None))
    assert f"The first {DRIFT_MAX} of 54,321 records" in text
    assert "Of 45,679 of the 100,000 in drift there is no record" in text
    assert "not every key could be checked" in text
    assert text.count("| aid=") == DRIFT_MAX


def test_figures_are_joined_to_their_worst() -> None:
    """A run of six hours has hundreds of minutes; a peak among them is not lost, nor is what was not known made up."""
    rows = [sample(minute, None if minute == 3 else float(minute == 200), minute) for minute in range(480)]
    document = run_report(replace(CORRECT, samples=samples(*rows)), None)
    (table,) = (block for block in document.blocks if isinstance(block, Table) and block.caption == "The figures")
    assert len(table.rows) <= FIGURES_MAX
    assert [row[1] for row in table.rows].count("1") == 1
    assert table.rows[-1][3] == "479"
    assert worst([point(0, None), point(1, 2.0), point(2, None)], 2) == [point(0, 2.0), point(2, None)]
    assert worst([], 5) == []


def test_a_hidden_key_stays_hidden() -> None:
    """Where the plan has keys hidden, their HMAC is shown."""
    row = drifted(1, key={"aid": "7"}, key_bytes=b"\x01\x02", key_hidden=True)
    counts = [{"kind": "stale", "cause": "unknown", "state": "open", "count": 1, "records": 1}]
    text = markdown(run_report(replace(CORRECT, counts=counts, drift=[row]), None))
    assert "hmac:0102" in text
    assert "aid=" not in text


def test_a_line_is_broken_where_nothing_is_known() -> None:
    """At a value that is not known, and where there is none for longer than a step."""
    points = [point(0, 1.0), point(1, 2.0), point(2, None), point(3, 1.0), point(6, 1.0), point(7, 4.0)]
    assert [len(stretch) for stretch in stretches(points, 90.0)] == [2, 1, 2]


@pytest.mark.parametrize(("value", "top"), [(0, 1), (0.03, 0.05), (0.2, 0.2), (1, 1), (1.01, 2), (49, 50), (51, 100)])
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    """Not below the largest value."""
    assert nice(value) == pytest.approx(top)


def test_a_picture_is_told_in_words_too() -> None:
    """For whoever does not see it: what it is of, the largest value and when, and what is not known."""
    pictured = chart(point(0, 1.0), point(1, 3.5), point(2, None), bound=2.0, title="Lag <&>")
    root = ElementTree.fromstring(svg(pictured, "p1"))
    named = {element.get("id"): element.text for element in root}
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", "p1-title p1-desc")
    assert named["p1-title"] == "Lag <&> (seconds)"
    assert named["p1-desc"] == described(pictured)
    assert "Largest: 3.5 at 2026-05-01 12:01:00Z. Not known at 1 moments." in described(pictured)
    assert described(chart(point(0, None))).startswith("Nothing is known")


@pytest.mark.parametrize("bound", [None, 0.001, 2.0, 5_000.0])
@pytest.mark.parametrize("most", [0.0, 0.2, 7.0, 123_456.0])
def test_everything_lies_within_the_picture(most: float, bound: float | None) -> None:
    """Whatever the values, the bound, and moments outside of what is shown."""
    points = [point(-5, 0.0), point(0, most), point(1, most / 2), point(99, most)]
    root = ElementTree.fromstring(svg(chart(*points, bound=bound), "p"))
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, "0")) <= WIDTH
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(name, "0")) <= HEIGHT
        for x, y in (pair.split(",") for pair in element.get("points", "").split()):
            assert 0 <= float(x) <= WIDTH
            assert 0 <= float(y) <= HEIGHT


def test_the_time_of_the_run_is_marked() -> None:
    """In the picture, also where it took no time; and in text."""
    short = replace(chart(point(9, 1.0), point(10, 1.0), point(13, 1.0)), span=(at(10), at(10) + timedelta(seconds=1)))
    (span,) = (each for each in ElementTree.fromstring(svg(short, "p")).iter() if each.get("class") == "span")
    assert float(span.get("width", "0")) >= 1
    lines = [line for line in markdown(Document("x", [short])).splitlines() if line.startswith("    ")]
    assert ["*" in line for line in lines] == [False, True, False]
