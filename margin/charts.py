"""Charts as SVG text: pure, without dependencies, readable in light and in dark, by eye and by screen reader.

Lines differ by dash as well as by colour, so that no one needs to see colours. A value that is not a number breaks the
line, and has no bar. Every chart carries its title, a description of its extremes, and the names of its axes.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 860, 420
_LEFT, _RIGHT, _TOP, _ROW = 84, 20, 52, 18
_TICKS, _LABELS = 6, 8
_DASHES = ("", "7 3", "2 3", "10 3 2 3", "1 4", "14 4")
_STYLE = """<style>
.paper{fill:#fff}.ink{fill:#1c2530}.faint{fill:#5a6672}.grid{stroke:#d5dbe1}.axis{stroke:#5a6672}
text{font:13px system-ui,sans-serif}.title{font-size:16px;font-weight:600}
.s0{--c:#0063a6}.s1{--c:#b34700}.s2{--c:#00705a}.s3{--c:#8a2b72}.s4{--c:#6b5c00}.s5{--c:#444}
.line{fill:none;stroke:var(--c);stroke-width:1.8}.bar{fill:var(--c)}
@media (prefers-color-scheme:dark){.paper{fill:#14191f}.ink{fill:#eef2f5}.faint{fill:#aab5bf}.grid{stroke:#333d47}
.axis{stroke:#aab5bf}.s0{--c:#6cc0ff}.s1{--c:#ffab66}.s2{--c:#5fd9b8}.s3{--c:#f19bd8}.s4{--c:#e3d36a}.s5{--c:#ccc}}
</style>"""


def line_chart(title: str, x_labels: Sequence[str], series: Mapping[str, Sequence[float]], *, unit: str) -> str:
    """One line per series over the x labels. Raises ValueError where a series is not as long as the labels."""
    ticks = _prepared(x_labels, series)
    frame = _Frame(len(series), ticks, len(x_labels))
    lines = []
    for k, values in enumerate(series.values()):
        lines.append(f'<path class="line s{k % 6}"{_dashed(k)} d="{_path(frame, values)}"/>')
    keys = [
        f'<path class="line s{k % 6}"{_dashed(k)} d="M{x:.1f} {y - 4}h30"/>'
        for k, (x, y) in enumerate(_places_of_keys(frame, len(series)))
    ]
    return _page(title, unit, x_labels, series, frame, lines, keys)


def bar_chart(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]], *, unit: str) -> str:
    """One bar per series beside each other at every label. Raises ValueError as `line_chart` does."""
    ticks = _prepared(labels, series)
    frame = _Frame(len(series), ticks, len(labels))
    width = frame.step * 0.8 / len(series)
    bars = []
    for k, (name, values) in enumerate(series.items()):
        for place, value in enumerate(values):
            if math.isfinite(value):
                x = frame.x(place) - frame.step * 0.4 + k * width
                top, bottom = sorted((frame.y(value), frame.y(0)))
                told = escape(f"{labels[place]}, {name}: {_number(value)} {unit}")
                size = f'x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}"'
                bars.append(f'<rect class="bar s{k % 6}" {size}><title>{told}</title></rect>')
    keys = [
        f'<rect class="bar s{k % 6}" x="{x:.1f}" y="{y - 10}" width="30" height="11"/>'
        for k, (x, y) in enumerate(_places_of_keys(frame, len(series)))
    ]
    return _page(title, unit, labels, series, frame, bars, keys)


class _Frame:
    """Where values lie on the paper. `step` is the width of one label's place."""

    def __init__(self, series: int, ticks: Sequence[float], count: int) -> None:
        self.ticks = ticks
        self.legend_rows = -(-series // 3)
        self.bottom = HEIGHT - 34 - _ROW * self.legend_rows
        self.step = (WIDTH - _LEFT - _RIGHT) / max(count, 1)

    def x(self, place: int) -> float:
        return _LEFT + self.step * (place + 0.5)

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.bottom - (value - low) / (high - low) * (self.bottom - _TOP)


def _prepared(labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> list[float]:
    """The ticks of the value axis, from round numbers around all values and zero."""
    for name, values in series.items():
        if len(values) != len(labels):
            raise ValueError(f"{name}: {len(values)} values for {len(labels)} labels")
    finite = [value for values in series.values() for value in values if math.isfinite(value)]
    if not finite:
        raise ValueError("A chart needs at least one number")
    low, high = min(0.0, *finite), max(0.0, *finite)
    rough = ((high - low) or 1.0) / (_TICKS - 1)
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * next(factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * k for k in range(first, max(last, first + 1) + 1)]


def _path(frame: _Frame, values: Sequence[float]) -> str:
    steps, pen = [], "M"
    for place, value in enumerate(values):
        if math.isfinite(value):
            steps.append(f"{pen}{frame.x(place):.1f} {frame.y(value):.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(steps)


def _page(
    title: str,
    unit: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    frame: _Frame,
    marks: list[str],
    keys: list[str],
) -> str:
    names = [
        _text(x + 38, y, name, "ink") for (x, y), name in zip(_places_of_keys(frame, len(series)), series, strict=True)
    ]
    legend = [part for pair in zip(keys, names, strict=True) for part in pair]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
            ' aria-labelledby="title desc">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="desc">{escape(_described(unit, labels, series))}</desc>',
            _STYLE,
            f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
            _text(_LEFT, 24, title, "title ink"),
            _text(_LEFT, 42, unit, "faint"),
            *_axes(frame, labels),
            *marks,
            *legend,
            "</svg>\n",
        ]
    )


def _described(unit: str, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    parts = [f"{unit}, {len(labels)} points from {labels[0]} to {labels[-1]}."]
    for name, values in series.items():
        known = [place for place, value in enumerate(values) if math.isfinite(value)]
        if known:
            low, high = min(known, key=values.__getitem__), max(known, key=values.__getitem__)
            parts.append(
                f"{name}: lowest {_number(values[low])} at {labels[low]}, highest {_number(values[high])}"
                f" at {labels[high]}."
            )
    return " ".join(parts)


def _axes(frame: _Frame, labels: Sequence[str]) -> list[str]:
    out = []
    for tick in frame.ticks:
        y = frame.y(tick)
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(_text(_LEFT - 8, y + 4, _number(tick), "faint", "end"))
    zero = frame.y(0)
    out.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{zero:.1f}" y2="{zero:.1f}"/>')
    every = max(1, -(-len(labels) // _LABELS))
    places = range(every // 2 if every > 1 else 0, len(labels), every)
    return out + [_text(frame.x(place), frame.bottom + 18, labels[place], "faint", "middle") for place in places]


def _places_of_keys(frame: _Frame, count: int) -> list[tuple[float, int]]:
    width = (WIDTH - _LEFT - _RIGHT) / 3
    return [(_LEFT + width * (k % 3), frame.bottom + 40 + _ROW * (k // 3)) for k in range(count)]


def _dashed(k: int) -> str:
    dash = _DASHES[k % len(_DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
