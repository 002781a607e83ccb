"""Lines as a picture that Dagster shows without a click."""

from __future__ import annotations

import math
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from ticks_platform.pictures import lines

_SVG = "{http://www.w3.org/2000/svg}"


def drawn(markdown: str) -> tuple[list[list[tuple[int, int]]], list[str]]:
    """The points of each line, and the names."""
    (svg,) = re.fullmatch(r"!\[.*?\]\(data:image/svg\+xml,([^()\s]*)\)", markdown).groups()  # type: ignore[union-attr]
    root = ElementTree.fromstring(unquote(svg))
    points = [
        [tuple(map(int, point.split(","))) for point in line.get("points", "").split()]
        for line in root.iter(f"{_SVG}polyline")
    ]
    return points, [text.text or "" for text in root.iter(f"{_SVG}text")]  # type: ignore[return-value]


def test_all_lines_are_on_one_scale() -> None:
    points, names = drawn(lines.markdown("result", {"up": [0.0, 1.0, 2.0], "flat": [1.0, 1.0, 1.0]}))
    assert names == ["up", "flat"]
    assert points == [[(3, 77), (150, 40), (297, 3)], [(3, 40), (150, 40), (297, 40)]]


@pytest.mark.parametrize("values", [0, 1, 2, 59, 500, 10_000])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_it_is_short_and_ends_with_the_newest_value(values: int, number: int) -> None:
    given = {f"line {name}": [float(value % 97) for value in range(values)] for name in range(number)}
    markdown = lines.markdown("result", given)
    assert len(markdown) <= 960
    points, _ = drawn(markdown)
    assert len(points) == number
    for line in points:
        assert [x for x, _ in line] == sorted(x for x, _ in line)
        if values > 1:
            assert line[-1][0] == 297


def test_values_that_are_not_finite_are_left_out() -> None:
    points, _ = drawn(lines.markdown("result", {"a": [math.nan, 1.0, math.inf, 2.0], "b": [], "c": [-1e308, 1e308]}))
    assert [len(line) for line in points] == [2, 0, 2]


def test_names_may_hold_anything() -> None:
    _, names = drawn(lines.markdown("result", {"<b>&'\"\x00(1)\n": [1.0]}))
    assert names == ["<b>&'\"(1)"]
