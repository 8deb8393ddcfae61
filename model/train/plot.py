"""A line plot as SVG, both axes logarithmic, with the intervals and names of the points."""

import math
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass
class Series:
    name: str
    points: list[tuple[float, float, float | None]]  # x, y, half of y's interval
    names: list[str] = field(default_factory=list)  # of the points, if they have any


@dataclass
class Axis:
    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        steps = (1, 2, 5)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        all_ticks = [s * 10.0**e for e in range(first, last + 1) for s in steps]
        return [tick for tick in all_ticks if self.low <= tick <= self.high]


def _text(x, y, text, anchor="middle", extra="") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def _axes(x: Axis, y: Axis, labels: tuple[str, str]) -> list[str]:
    out = []
    for tick in x.ticks():
        at = x.place(tick)
        out.append(f'<line class="grid" x1="{at:.1f}" y1="{y.start}" x2="{at:.1f}" y2="{y.end}"/>')
        out.append(_text(at, y.start + 16, f"{tick:g}"))
    for tick in y.ticks():
        at = y.place(tick)
        out.append(f'<line class="grid" x1="{x.start}" y1="{at:.1f}" x2="{x.end}" y2="{at:.1f}"/>')
        out.append(_text(x.start - 6, at + 4, f"{tick:g}", "end"))
    out.append(_text((x.start + x.end) / 2, HEIGHT - 10, labels[0]))
    middle = (y.start + y.end) / 2
    turned = f' transform="rotate(-90 16 {middle})"'
    return [*out, _text(16, middle, labels[1], extra=turned)]


def _line(series: Series, colour: str, x: Axis, y: Axis) -> list[str]:
    places = [(x.place(a), y.place(b)) for a, b, _ in series.points]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for (a, b), (_, value, half) in zip(places, series.points):
        out.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>')
        if half is not None:
            low, high = y.place(max(value - half, y.low)), y.place(min(value + half, y.high))
            out.append(
                f'<line x1="{a:.1f}" y1="{low:.1f}" x2="{a:.1f}" y2="{high:.1f}"'
                f' stroke="{colour}"/>'
            )
    out += [_text(a + 6, b - 6, name, "start") for (a, b), name in zip(places, series.names)]
    return out


def write(path: Path, title: str, labels: tuple[str, str], series: list[Series]) -> None:
    xs = [a for s in series for a, _, _ in s.points]
    ys = [b for s in series for _, b, _ in s.points]
    x = Axis(min(xs) / 1.1, max(xs) * 1.1, LEFT, WIDTH - RIGHT)
    y = Axis(min(ys) / 1.2, max(ys) * 1.2, HEIGHT - BOTTOM, TOP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12" role="img">',
        "<style>.grid{stroke:#ddd}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text((LEFT + WIDTH - RIGHT) / 2, 20, title, extra=' font-size="14"'),
        *_axes(x, y, labels),
    ]
    for i, one in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        out += _line(one, colour, x, y)
        top = TOP + 12 + 18 * i
        out.append(f'<circle cx="{WIDTH - RIGHT + 14}" cy="{top - 4}" r="4" fill="{colour}"/>')
        out.append(_text(WIDTH - RIGHT + 24, top, one.name, "start"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*out, "</svg>"]) + "\n", encoding="utf-8")
