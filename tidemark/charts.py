"""Small charts in one SVG file, which every browser shows: a row a subject, a column a measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT, GAP, LEFT, TOP = 250, 70, 50, 260, 60
Values = Sequence[float | None]
STYLE = (
    "text{font:11px sans-serif;fill:#333}.h{font-weight:bold}.t{font-size:9px;fill:#777}"
    ".line{fill:none;stroke:#1f5fa8;stroke-width:1.5}.band{fill:#1f5fa8;fill-opacity:.15;stroke:none}"
    ".bar{fill:#1f5fa8;fill-opacity:.55}.other{fill:none;stroke:#e07b00;stroke-width:1.5}"
    ".limit{stroke:#c62828;stroke-dasharray:4 3}.frame{fill:none;stroke:#ddd}.dot{fill:#1f5fa8}"
)


@dataclass(frozen=True)
class Chart:
    """One measure over the same steps. `bands` are (low, high) areas, `other` a line of steps to compare
    `bars` with, `limit` a threshold; None leaves a gap."""

    line: Values = ()
    bands: Sequence[tuple[Values, Values]] = ()
    bars: Values = ()
    other: Values = ()
    limit: float | None = None
    zero: bool = True
    """Whether the scale begins at 0."""


@dataclass(frozen=True)
class Row:
    """A subject, a remark below its name, and its charts, as many as there are columns."""

    name: str
    remark: str
    charts: Sequence[Chart]


@dataclass(frozen=True)
class Sheet:
    """All of it; `first` and `last` are written below the charts that have steps in time."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row] = field(default_factory=list)
    first: str = ""
    last: str = ""

    def svg(self) -> str:
        """The file's text."""
        width = LEFT + len(self.columns) * (WIDTH + GAP)
        height = TOP + len(self.rows) * (HEIGHT + GAP) + 20
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
            f'<style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>',
            _text(10, 20, self.title, "h"),
        ]
        parts += [_text(LEFT + i * (WIDTH + GAP), TOP - 12, c, "h") for i, c in enumerate(self.columns)]
        for number, row in enumerate(self.rows):
            y = TOP + number * (HEIGHT + GAP)
            parts += [_text(10, y + 20, row.name, "h"), _text(10, y + 36, row.remark)]
            for i, chart in enumerate(row.charts):
                x = LEFT + i * (WIDTH + GAP)
                parts.append(f'<g transform="translate({x},{y})">{_draw(chart)}</g>')
                if not chart.bars:
                    parts.append(_text(x, y + HEIGHT + 12, self.first, "t"))
                    parts.append(_text(x + WIDTH, y + HEIGHT + 12, self.last, "t", "end"))
        return "\n".join([*parts, "</svg>\n"])


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _draw(chart: Chart) -> str:
    series = [chart.line, chart.bars, chart.other, *(edge for band in chart.bands for edge in band)]
    held = [v for values in series for v in values if v is not None]
    held += [] if chart.limit is None else [chart.limit]
    frame = f'<rect width="{WIDTH}" height="{HEIGHT}" class="frame"/>'
    if not any(v is not None for values in series for v in values):
        return frame + _text(WIDTH / 2, HEIGHT / 2, "no values", "t", "middle")
    low, high = min([0.0, *held] if chart.zero else held), max(held)
    steps = max(len(values) for values in series)

    def x(i: float) -> float:
        return round(i * WIDTH / max(steps - 1, 1), 1)

    def y(value: float) -> float:
        return round(HEIGHT * (1 - (value - low) / ((high - low) or 1)), 1)

    parts = [frame]
    for bottom, top in chart.bands:
        edge = [(x(i), y(v)) for i, v in enumerate(top) if v is not None]
        edge += [(x(i), y(v)) for i, v in reversed(list(enumerate(bottom))) if v is not None]
        parts.append(f'<polygon points="{_points(edge)}" class="band"/>')
    wide = WIDTH / max(len(chart.bars), 1)
    for i, v in enumerate(chart.bars):
        size = (v or 0) - low
        parts.append(
            f'<rect x="{i * wide + 1:.1f}" y="{y(v or 0)}" width="{max(wide - 2, 1):.1f}" '
            f'height="{HEIGHT * size / ((high - low) or 1):.1f}" class="bar"/>'
        )
    flat = [((i + d) * wide, y(v)) for i, v in enumerate(chart.other) if v is not None for d in (0, 1)]
    if flat:
        parts.append(f'<polyline points="{_points(flat)}" class="other"/>')
    for run in _runs(chart.line):
        dots = [(x(i), y(v)) for i, v in run]
        parts.append(f'<polyline points="{_points(dots)}" class="line"/>')
        parts += [f'<circle cx="{a}" cy="{b}" r="1.8" class="dot"/>' for a, b in dots]
    if chart.limit is not None:
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{y(chart.limit)}" y2="{y(chart.limit)}" class="limit"/>')
    scale = [_text(-4, 9, f"{high:.4g}", "t", "end"), _text(-4, HEIGHT, f"{low:.4g}", "t", "end")]
    return "".join(parts + scale)


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y}" for x, y in points)


def _runs(values: Values) -> list[list[tuple[int, float]]]:
    """Stretches without a gap."""
    runs: list[list[tuple[int, float]]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((i, value))
    return [run for run in runs if run]
