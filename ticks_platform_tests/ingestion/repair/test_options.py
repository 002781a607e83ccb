"""A gap of trades without ids: those around it are recognised by what they are, and nothing is stored twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.ingestion.repair.ranges import SymbolInterval
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import (
    KEY,
    add_gap,
    load_live,
    manual_stand_in,
    minutes_ago,
    polygon,
    repair,
)
from ticks_standin import StandIn

SYMBOL = "O:SPY251219C00650000"
COLUMNS = "time, symbol, price, size, exchange, trade_id, conditions"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "demo")


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with manual_stand_in(traded=[f"T.{SYMBOL}"], keys=["demo"], polygon_option_twins=0.2) as server:
        yield server


def ticks(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, f"SELECT {COLUMNS} FROM stocks_real_time ORDER BY {COLUMNS}")


def test_a_repaired_gap_of_options_doubles_nothing(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    stand_in.trade_unheard(500, minutes_ago(20), minutes_ago(19))
    feed = polygon(stand_in, symbols=[SYMBOL]).model_copy(
        update={"options": {"market": "options"}, "endpoint": stand_in.url("polygon", key=None, market="options")}
    )
    made = stand_in.made(f"T.{SYMBOL}", payloads=True).events
    begin, end = minutes_ago(20) + timedelta(seconds=25), minutes_ago(20) + timedelta(seconds=35)
    missed = [event for event in made if begin.timestamp() <= event.time_ns / 1e9 < end.timestamp()]
    assert 50 < len(missed) < 250
    load_live(database, feed, made, tmp_path)
    whole = ticks(database)
    assert len(whole) == len(made)
    assert len(set(map(str, whole))) < len(whole), "some are alike"
    with database.transaction() as cursor:
        cursor.execute("TRUNCATE stocks_real_time, ticks_platform.feed CASCADE")
    (tmp_path / "tape.sqlite3").unlink()

    load_live(database, feed, [event for event in made if event not in missed], tmp_path)
    add_gap(database, feed, SYMBOL, begin, end)
    stand_in.fail_requests("short_page", requests=4)
    report = repair(database, feed, tmp_path)
    assert (report.loaded, report.rejected) == (len(missed), 0)
    assert report.duplicate > 50, "the trades in the margins"
    assert ticks(database) == whole

    # The same time again, cut in another way, and the provider sends everything again.
    middle = minutes_ago(20) + timedelta(seconds=30)
    again = [SymbolInterval(SYMBOL, minutes_ago(20), middle), SymbolInterval(SYMBOL, middle, minutes_ago(19))]
    assert repair(database, feed, tmp_path, gaps=False, intervals=again).loaded == 0
    assert load_live(database, feed, made, tmp_path).loaded == 0
    assert ticks(database) == whole
    assert unbalanced(database) == []
