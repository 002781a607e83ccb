"""Candlestick charts: every valid candle is drawn once."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree as ET

from ticks_platform.pictures.candlesticks import Candlestick, Panel, draw

MINUTE = timedelta(minutes=1)
BEGIN = datetime(2026, 3, 2, 14, 30, tzinfo=timezone.utc)
SVG = "{http://www.w3.org/2000/svg}"


def candles(number: int) -> list[Candlestick]:
    """Candles of which every third one falls."""
    return [
        Candlestick(
            BEGIN + place * MINUTE, 100 + place, 104 + place, 95 + place, (99 if place % 3 == 0 else 102) + place
        )
        for place in range(number)
    ]


def drawn(group: ET.Element) -> dict[str, int]:
    """Number of paths in a panel by class, such as `up` and `down`."""
    return {
        path.get("class", ""): path.get("d", "").count("M") for path in group.iter(f"{SVG}path") if path.get("class")
    }


def panels(svg: str) -> list[ET.Element]:
    return ET.fromstring(svg).findall(f"{SVG}g")


def test_every_candle_is_drawn() -> None:
    (panel,) = panels(draw([Panel("AAPL", candles(30))], MINUTE))
    assert drawn(panel) == {"wicks": 10, "up": 20, "down": 10}
    assert panel.findtext(f"{SVG}title") == "AAPL"


def test_panels_are_side_by_side() -> None:
    svg = draw([Panel(symbol, candles(3)) for symbol in ("A", "B", "C")], MINUTE)
    assert [panel.get("transform") for panel in panels(svg)] == [
        "translate(0 0)",
        "translate(440 0)",
        "translate(0 210)",
    ]


def test_what_cannot_be_drawn_is_left_out() -> None:
    broken = [candle._replace(high=math.nan) for candle in candles(2)]
    (panel,) = panels(draw([Panel("AAPL", broken)], MINUTE))
    assert drawn(panel) == {}
    (panel,) = panels(draw([Panel("AAPL", [*broken, *candles(5)[2:]])], MINUTE))
    assert sum(drawn(panel)[name] for name in ("up", "down")) == 3


def test_special_characters_and_flat_prices() -> None:
    flat = [Candlestick(BEGIN, 0.0, 0.0, 0.0, 0.0)]
    (panel,) = panels(draw([Panel("<A&B>", flat)], MINUTE))
    assert panel.findtext(f"{SVG}title") == "<A&B>"
    assert drawn(panel) == {"wicks": 1, "up": 1}


def test_a_night_is_narrow_and_marked() -> None:
    evening = candles(3)
    morning = [candle._replace(at=candle.at + timedelta(hours=15)) for candle in evening]
    (panel,) = panels(draw([Panel("AAPL", [*evening, *morning])], MINUTE))
    assert drawn(panel)["breaks"] == 1
    assert sum(drawn(panel)[name] for name in ("up", "down")) == 6


def test_the_same_candles_make_the_same_picture() -> None:
    assert draw([Panel("AAPL", candles(9))], MINUTE) == draw([Panel("AAPL", candles(9))], MINUTE)


def test_it_is_small() -> None:
    assert len(draw([Panel("AAPL", candles(120))] * 4, MINUTE)) < 40_000
