"""Whether something grows: a line through samples, its error, and pictures of both.

The line is that of least squares. Its standard error takes the samples for independent, which samples of memory are
not: it is too small rather than too large. So growth is told from noise by its size as well, see `Trend.grows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from xml.sax.saxutils import escape

BARS = "▁▂▃▄▅▆▇█"
CERTAIN = 3.0
"""Standard errors beyond which a slope is no accident."""

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 900, 360, 70, 40, 50
"""Of the picture, in pixels, and of its margins."""


@dataclass(frozen=True, slots=True)
class Trend:
    """y = `level` + `slope` x. `error`: the slope's standard error; `span`: from the first x to the last."""

    slope: float
    error: float
    level: float
    span: float

    @property
    def growth(self) -> float:
        """Over the span."""
        return self.slope * self.span

    def grows(self, allowed: float) -> bool:
        """By more than `allowed` over the span, and not by accident."""
        return self.growth > allowed and self.slope > CERTAIN * self.error

    def at(self, x: float) -> float:
        return self.level + self.slope * x


def fit(xs: Sequence[float], ys: Sequence[float]) -> Trend:
    """Three samples at least, at different x."""
    count = len(xs)
    middle, mean = sum(xs) / count, sum(ys) / count
    spread = sum((x - middle) ** 2 for x in xs)
    slope = sum((x - middle) * (y - mean) for x, y in zip(xs, ys, strict=True)) / spread
    level = mean - slope * middle
    rest = sum((y - level - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    return Trend(slope, sqrt(rest / (count - 2) / spread), level, xs[-1] - xs[0])


def sparkline(values: Sequence[float], width: int = 72) -> str:
    """One bar for each of `width` values, from their least to their largest."""
    picked = [values[n * len(values) // width] for n in range(width)] if len(values) > width else list(values)
    low, high = min(picked), max(picked)
    return "".join(BARS[round((value - low) / ((high - low) or 1.0) * (len(BARS) - 1))] for value in picked)


def draw(xs: Sequence[float], ys: Sequence[float], trend: Trend, begin: float, title: str, unit: str) -> str:
    """An SVG of the samples and of the line, which was fitted to those from `begin` on."""
    top_y = max(ys) * 1.1

    def place(x: float, y: float) -> str:
        right = LEFT + x / xs[-1] * (WIDTH - LEFT - 20)
        return f"{right:.1f},{HEIGHT - BOTTOM - y / top_y * (HEIGHT - BOTTOM - TOP):.1f}"

    def line(points: Sequence[str], color: str, width: float) -> str:
        return f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="{width}"/>'

    def label(x: float, y: float, text: str, anchor: str) -> str:
        return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text}</text>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        '  font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        label(LEFT, 25, escape(title), "start"),
    ]
    for quarter in range(5):
        y, x = top_y * quarter / 4, xs[-1] * quarter / 4
        parts.append(line([place(0, y), place(xs[-1], y)], "#dddddd", 1))
        parts.append(label(LEFT - 6, float(place(0, y).split(",")[1]) + 4, f"{y:.1f} {unit}", "end"))
        parts.append(label(float(place(x, 0).split(",")[0]), HEIGHT - 15, f"{x:,.0f}", "middle"))
    parts.append(line([place(x, y) for x, y in zip(xs, ys, strict=True)], "#1f77b4", 1.5))
    parts.append(line([place(begin, trend.at(begin)), place(xs[-1], trend.at(xs[-1]))], "#d62728", 2))
    return "\n".join([*parts, "</svg>", ""])
