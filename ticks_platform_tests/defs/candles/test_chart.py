"""The chart and the numbers that candle assets show."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import dagster as dg
import pytest

from ticks_platform.timescale.database import Database

SVG = "{http://www.w3.org/2000/svg}"


def insert_ticks(database: Database, minutes: int) -> None:
    """Ticks of five symbols in each of these minutes of a past day; E has the fewest."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
            SELECT at + number * INTERVAL '10 seconds', symbol, 100 + sin(minute) * 3 + number, gen_random_uuid(),
                   'stocks', at
            FROM generate_series(0, %s - 1) AS minute,
                 LATERAL (SELECT timestamptz '2026-03-02 14:30+00' + minute * INTERVAL '1 minute' AS at) AS times,
                 unnest(ARRAY['A', 'B', 'C', 'D', 'E']) AS symbol,
                 generate_series(1, CASE symbol WHEN 'E' THEN 1 ELSE 4 END) AS number
            """,
            (minutes,),
        )


def picture(markdown: str) -> ET.Element:
    found = re.search(r"\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)$", markdown)
    assert found is not None
    return ET.fromstring(base64.b64decode(found[1]))


def test_a_candle_shows_its_last_session(fresh: Database, run_job: Callable[..., dg.ExecuteInProcessResult]) -> None:
    assert run_job("bring_up").success
    insert_ticks(fresh, minutes=390)
    with fresh.transaction() as cursor:
        # Volume alone: an hour of B, and some minutes of each.
        cursor.execute(
            "UPDATE stocks_real_time SET updates = 4 WHERE extract(minute FROM time) IN (7, 8) "
            "OR (symbol = 'B' AND time < timestamptz '2026-03-02 15:30+00')"
        )
    result = run_job("bring_up")
    assert result.success
    # 390 minutes in candles of five; the seven hours that they lie in.
    for asset, width, candles in (("one_minute_candle", "5 min", 78), ("one_hour_candle", "1 h", 7)):
        (made,) = result.asset_materializations_for_node(asset)
        markdown = made.metadata["chart"].value
        assert isinstance(markdown, str)
        assert len(markdown) < 60_000
        assert markdown.startswith(f"Candles of {width}\n")
        panels = picture(markdown).findall(f"{SVG}g")
        assert [panel.findtext(f"{SVG}title") for panel in panels] == ["A", "B", "C", "D"]
        for panel in panels:
            bodies = [path for path in panel.iter(f"{SVG}path") if path.get("class") in ("up", "down")]
            without = 0 if panel.findtext(f"{SVG}title") != "B" else 12 if width == "5 min" else 1
            assert sum(path.get("d", "").count("M") for path in bodies) == candles - without
        assert isinstance(made.metadata["last bucket at"], dg.TimestampMetadataValue)
        assert isinstance(made.metadata["lag in seconds"], dg.FloatMetadataValue)
        assert (made.metadata["lag in seconds"].value or 0) > 3600


@pytest.mark.full
def test_observations_have_numbers_and_no_chart(
    fresh: Database, run_job: Callable[..., dg.ExecuteInProcessResult]
) -> None:
    assert run_job("bring_up").success
    insert_ticks(fresh, minutes=3)
    result = run_job("refresh_candles")
    for event in result.get_asset_observation_events():
        metadata = event.asset_observation_data.asset_observation.metadata
        assert "lag in seconds" in metadata
        assert "chart" not in metadata
