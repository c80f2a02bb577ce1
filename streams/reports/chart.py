"""A value over time as SVG that stands by itself: it takes its colours from the page, and needs no script."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from streams.reports.blocks import Chart, Point, visible
from streams.reports.figures import shown_moment, shown_number

WIDTH: Final = 720
HEIGHT: Final = 200
# What is around the plot itself: figures, the name of the marked time, moments.
LEFT: Final = 64
RIGHT: Final = 16
TOP: Final = 24
BOTTOM: Final = 28
TICKS: Final = 6
# What follows later than that after the point before it does not belong to one line with it.
GAP_STEPS: Final = 1.5


class _Scale:
    """Where moments and values lie in the picture."""

    def __init__(self, chart: Chart) -> None:
        known = [point.value for point in chart.points if point.value is not None]
        self.first, self.seconds = chart.first, max(1.0, (chart.last - chart.first).total_seconds())
        self.top = nice(max([*known, chart.bound or 0.0, 0.0]))

    def x(self, at: datetime) -> float:
        part = min(1.0, max(0.0, (at - self.first).total_seconds() / self.seconds))
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)


def nice(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 … above a value, also below 1; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def svg(chart: Chart, name: str) -> str:
    """The picture; `name` tells its parts from those of others in the page."""
    scale = _Scale(chart)
    parts = [
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{_text(f"{chart.title} ({chart.unit})")}</title>',
        f'<desc id="{name}-desc">{_text(described(chart))}</desc>',
        *_span(chart, scale),
        *_grid(chart, scale),
        *_bound(chart, scale),
        *_line(chart, scale),
        "</svg>",
    ]
    return "\n".join(parts)


def described(chart: Chart) -> str:
    """What the picture shows, in words."""
    known = [point for point in chart.points if point.value is not None]
    between = f"from {shown_moment(chart.first)} to {shown_moment(chart.last)}"
    if not known:
        return f"Nothing is known {between}."
    most = max(known, key=lambda point: (point.value or 0.0, -point.at.timestamp()))
    unknown = len(chart.points) - len(known)
    said = f"{len(known)} values {between}. Largest: {shown_number(most.value or 0.0)} at {shown_moment(most.at)}."
    return f"{said} Not known at {unknown} moments." if unknown else said


def _span(chart: Chart, scale: _Scale) -> Iterator[str]:
    left, right = (scale.x(at) for at in chart.span)
    yield (f'<rect class="span" x="{left:.1f}" y="{TOP}" width="{max(1.5, right - left):.1f}" '
           f'height="{HEIGHT - TOP - BOTTOM}"/>')  # fmt: skip
    yield f'<text class="label" x="{left:.1f}" y="{TOP - 6}">{_text(chart.span_name)}</text>'


def _grid(chart: Chart, scale: _Scale) -> Iterator[str]:
    for part in (0, 0.5, 1):
        y, said = scale.y(part * scale.top), shown_number(part * scale.top)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="label" text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{said}</text>'
    days = chart.last.astimezone(UTC).date() != chart.first.astimezone(UTC).date()
    for number in range(TICKS + 1):
        at = chart.first + (chart.last - chart.first) * (number / TICKS)
        said = f"{at.astimezone(UTC):{'%m-%d %H:%M' if days else '%H:%M'}}"
        # The last one ends where the plot does: in the middle of that place it would leave the picture.
        anchor = "end" if number == TICKS else "middle"
        yield f'<text class="label" text-anchor="{anchor}" x="{scale.x(at):.1f}" y="{HEIGHT - 8}">{said}</text>'


def _bound(chart: Chart, scale: _Scale) -> Iterator[str]:
    if chart.bound is not None:
        y = scale.y(chart.bound)
        yield f'<line class="bound" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        said = _text(chart.bound_name)
        yield f'<text class="label" text-anchor="end" x="{WIDTH - RIGHT}" y="{y - 4:.1f}">{said}</text>'


def _line(chart: Chart, scale: _Scale) -> Iterator[str]:
    for stretch in stretches(chart.points, chart.step_seconds * GAP_STEPS):
        places = [(scale.x(at), scale.y(value or 0.0)) for at, value in stretch]
        if len(places) == 1:
            yield f'<circle class="dot" cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="2"/>'
        else:
            yield f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'


def stretches(points: Sequence[Point], gap_seconds: float) -> list[list[Point]]:
    """The points without those that are not known, parted where one is, or where there is none for too long."""
    found: list[list[Point]] = []
    before: Point | None = None
    for point in points:
        if point.value is None:
            before = None
            continue
        if before is None or (point.at - before.at).total_seconds() > gap_seconds:
            found.append([])
        found[-1].append(point)
        before = point
    return found


def _text(text: str) -> str:
    return escape(visible(text))
