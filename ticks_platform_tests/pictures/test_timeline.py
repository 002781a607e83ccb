"""Timelines of gaps."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree

from ticks_platform.pictures.timeline import COLOURS, LEFT, NARROWEST, RIGHT, STATES, WIDTH, Lane, Span, draw

BEGIN = datetime(2025, 3, 4, 18, 7, tzinfo=timezone.utc)
END = BEGIN + timedelta(hours=24)


def drawn(*spans: Span, symbol: str = "AAPL") -> dict[str, list[tuple[float, float]]]:
    """Begin and end of the drawn spans by kind, as fractions of the time range."""
    svg = ElementTree.fromstring(draw("a feed", [Lane(symbol, spans)], begin=BEGIN, end=END))
    width = WIDTH - LEFT - RIGHT
    found: dict[str, list[tuple[float, float]]] = {}
    for node in svg.iter():
        if kind := node.get("class"):
            pieces = re.findall(r"M([\d.]+) [\d.]+H([\d.]+)", node.get("d", ""))
            found[kind] = [((float(left) - LEFT) / width, (float(right) - LEFT) / width) for left, right in pieces]
    return found


def at(hours: float) -> datetime:
    return BEGIN + timedelta(hours=hours)


def test_positions_of_spans() -> None:
    assert drawn(Span(at(6), at(12), "killed"), Span(at(18), at(24), "killed")) == {
        "killed": [(0.25, 0.5), (0.75, 1.0)]
    }


def test_spans_are_clipped() -> None:
    assert drawn(Span(at(-9), at(30), "closed")) == {"closed": [(0.0, 1.0)]}


def test_a_short_gap_is_visible_on_top_of_the_closed_market() -> None:
    found = drawn(Span(at(6), at(6 + 1 / 3600), "stalled"), Span(at(0), at(12), "closed"))
    ((left, right),) = found["stalled"]
    assert (right - left) * (WIDTH - LEFT - RIGHT) >= NARROWEST - 0.11
    assert list(found) == ["closed", "stalled"]


def test_names_are_escaped_and_every_kind_has_its_line_in_the_legend() -> None:
    spans = [Span(at(0), at(1), kind) for kind in (*COLOURS, *STATES)]
    picture = draw("a < b", [Lane("<&>", spans)], begin=BEGIN, end=END)
    svg = ElementTree.fromstring(picture)
    texts = [node.text for node in svg.iter() if node.tag.endswith("text")]
    assert {"a < b", "<&>", "listening"} <= set(texts)
    assert {kind.replace("_", " ") for kind in (*COLOURS, *STATES)} <= set(texts)
    right = max(float(node.get("x", "0")) for node in svg.iter() if node.tag.endswith("rect"))
    assert right < WIDTH - 60
