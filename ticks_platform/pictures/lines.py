"""Lines over the same steps, such as results that add up: a picture of a few hundred characters, as in `small`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ticks_platform.pictures.small import LONGEST, encoded

COLOURS = ("#12805c", "#c0392b", "#2f6f9f", "#8a5fa8")
"""Of the first, second, … line; they begin again after the last."""

WIDTH, HEIGHT, MARGIN = 300, 80, 3
ROW = 12
"""Height of a line's name below the picture."""

MOST_POINTS = 100


def markdown(name: str, lines: Mapping[str, Sequence[float]]) -> str:
    """Lines by their names, all on one scale, as an image in Markdown that Dagster shows without a click.

    The first value is at the left edge and the last one at the right. Of more values than fit, every second, third, …
    is drawn, and always the last. Values that are not finite are left out. Names are text of the picture: they may
    hold anything, `name` must be escaped.
    """
    points = MOST_POINTS
    while True:
        text = f"![{name}](data:image/svg+xml,{encoded(_draw(lines, points))})"
        if len(text) <= LONGEST or points <= 2:
            return text
        points -= max(1, points // 8)


def _draw(lines: Mapping[str, Sequence[float]], points: int) -> str:
    finite = [value for values in lines.values() for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    drawn = []
    for number, (name, values) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{_place(index / max(1, len(values) - 1), WIDTH)},{_place(_share(high, values[index], low), HEIGHT)}"
            for index in _drawn(len(values), points)
            if math.isfinite(values[index])
        )
        drawn.append(
            f"<polyline points='{path}' fill='none' stroke='{colour}'/>"
            f"<text x='{MARGIN}' y='{HEIGHT + (number + 1) * ROW}' font-size='10' fill='{colour}'>"
            f"{_escaped(name)}</text>"
        )
    height = HEIGHT + len(lines) * ROW + MARGIN
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='400' viewBox='0 0 {WIDTH} {height}' "
        f"style='background:#fff'>{''.join(drawn)}</svg>"
    )


def _drawn(values: int, points: int) -> list[int]:
    """Indexes of at most so many values, the last one among them."""
    step = math.ceil(values / max(1, points))
    return [*range(values - 1, -1, -step)][::-1] if values else []


def _share(high: float, value: float, low: float) -> float:
    """How far below the highest value, as a part of the height."""
    # Halves: of two very large values of different sign, the difference is infinite.
    spread = high / 2 - low / 2
    return (high / 2 - value / 2) / spread if spread > 0 else 0.5


def _place(share: float, size: int) -> int:
    return round(MARGIN + share * (size - 2 * MARGIN))


def _escaped(text: str) -> str:
    shown = "".join(character for character in text if character.isprintable())[:60]
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
