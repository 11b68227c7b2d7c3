"""Growth is told from noise by its size and by its error."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from random import Random

import pytest

from tests.e2e.slope import draw, fit, sparkline

XS = [1000.0 * n for n in range(200)]


def noisy(slope: float, noise: float = 0.5) -> list[float]:
    rng = Random(1)
    return [60 + slope * x + rng.gauss(0, noise) for x in XS]


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        (noisy(0.0), False),
        (noisy(-0.0001), False),
        (noisy(0.000002), False),  # it may rise so much, 0.4 in all
        (noisy(0.0001), True),
        (noisy(0.00001, noise=100.0), False),  # such a line comes about by chance
    ],
)
def test_a_line_grows_when_it_rises_by_more_than_is_allowed_and_more_than_chance(
    values: Sequence[float], grows: bool
) -> None:
    assert fit(XS, values).grows(1.0) is grows


def test_a_line_without_noise_is_found_as_it_is() -> None:
    trend = fit([0, 1, 2, 3], [5, 7, 9, 11])

    assert (trend.slope, trend.level, trend.growth) == pytest.approx((2, 5, 6))
    assert trend.error == pytest.approx(0)
    assert trend.at(10) == pytest.approx(25)


@pytest.mark.parametrize(
    ("values", "bars"), [([0, 7], "▁█"), ([3, 3, 3], "▁▁▁"), (list(range(8)), "▁▂▃▄▅▆▇█"), (list(range(16)), "▁▂▄▅▆█")]
)
def test_a_sparkline_goes_from_the_least_to_the_largest(values: list[float], bars: str) -> None:
    assert sparkline(values, 6 if len(values) > 8 else 8) == bars


def test_the_picture_is_an_svg_with_the_samples_and_the_line() -> None:
    values = noisy(0.0001)
    root = ET.fromstring(draw(XS, values, fit(XS, values), XS[100], "memory < 1 MB", "MB"))

    lines = [each.attrib["points"].split() for each in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [2] * 5 + [len(XS), 2]
