"""The job that makes stored ticks agree with feeds.yaml about which feeds are primary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.feeds.settings import SettingsError
from ticks_platform.paths import journal_path
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import WARN, refresh
from ticks_platform_tests.support.dagster import checked
from ticks_platform_tests.support.ingestion import changed_hours, count_by_hour, rows

FEEDS = """
feeds:
  tape:
    provider: polygon
    endpoint: stand-in
    symbols: [AAPL]
    candles: {tape}
  stocks:
    provider: twelve_data
    endpoint: stand-in
    symbols: [AAPL, MSFT]
    candles: {stocks}
"""

DAYS = ("2026-03-03", "2026-03-04")

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def write(project: Path) -> Callable[..., None]:
    """Writes the two feeds into feeds.yaml."""

    def write_feeds(*, tape: bool, stocks: bool) -> None:
        text = FEEDS.format(tape=str(tape).lower(), stocks=str(stocks).lower())
        (project / "feeds.yaml").write_text(text, encoding="utf-8")

    return write_feeds


@pytest.fixture
def run(load: Callable[[], dg.Definitions], instance: dg.DagsterInstance) -> Run:
    """Reloads the definitions, and runs the job."""

    def run_job(**config: Any) -> dg.ExecuteInProcessResult:
        return (
            load()
            .resolve_job_def("apply_primary_feeds")
            .execute_in_process(
                run_config={"ops": {"mark_secondary_ticks": {"config": config}}},
                instance=instance,
                raise_on_error=False,
            )
        )

    return run_job


def store(database: Database) -> None:
    """On each of two days, ticks of a primary and of a secondary feed, and of one that is in no file."""
    ticks = [
        ("tape", "AAPL", 250.0, None),
        ("tape", "AAPL", 300.0, 15),
        ("tape", "AAPL", 240.0, 4),
        ("stocks", "AAPL", 249.0, 23),
        ("stocks", "AAPL", 248.0, 31),
        ("stocks", "MSFT", 400.0, 23),
        ("gone", "AAPL", 100.0, 23),
    ]
    with database.transaction() as cursor:
        for number, day in enumerate(DAYS):
            for second, (feed, symbol, price, updates) in enumerate(ticks):
                cursor.execute(
                    """
                    INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at, updates)
                    VALUES (%(at)s, %(symbol)s, %(price)s, 10, %(tick_id)s, %(feed)s, %(at)s, %(updates)s)
                    """,
                    {
                        "at": f"{day} 20:00:{second:02}+00",
                        "symbol": symbol,
                        "price": price,
                        "tick_id": f"00000000-0000-7000-8000-{number * 100 + second:012}",
                        "feed": feed,
                        "updates": updates,
                    },
                )


def marks(database: Database) -> dict[str, list[int | None]]:
    """The bits of each feed's ticks, in their order; they have to be the same on both days."""
    query = "SELECT time::date::text, feed, updates FROM stocks_real_time ORDER BY tick_id"
    found: dict[str, dict[str, list[int | None]]] = {}
    for day, feed, updates in rows(database, query):
        found.setdefault(day, {}).setdefault(feed, []).append(updates)
    first, second = (found[day] for day in DAYS)
    assert first == second
    return first


def closes(database: Database, candle: str) -> list[tuple[Any, ...]]:
    return rows(database, f"SELECT symbol, close FROM {candle} ORDER BY bucket, symbol")


BEFORE = {"tape": [None, 15, 4], "stocks": [23, 31, 23], "gone": [23]}
AFTER = {"tape": [23, 31, 20], "stocks": [None, 15, None], "gone": [23]}


def test_the_primary_feed_changes(database: Database, write: Callable[..., None], run: Run) -> None:
    store(database)
    count_by_hour(database)
    refresh(database)
    # The first day's chunk is compressed.
    rows(database, "SELECT compress_chunk(min(chunk)) FROM show_chunks('stocks_real_time') AS chunk")
    write(tape=True, stocks=False)
    assert run(dry_run=False).success
    assert marks(database) == BEFORE, "it agreed with feeds.yaml"
    assert closes(database, "one_minute_candle") == [("AAPL", 250.0), ("MSFT", None)] * 2
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.candle_refresh (candle, bucket, loaded, refreshed_at) "
            "VALUES ('one_day_candle', %s, 7, now())",
            (DAYS[1],),
        )
    write(tape=False, stocks=True)
    dry = run()
    assert dry.success
    assert marks(database) == BEFORE
    (output,) = (event.step_output_data for event in dry.all_events if event.is_successful_output)
    said = {name: value.value for name, value in output.metadata.items() if name != "changes"}
    assert said == {
        "primary feeds": "stocks",
        "secondary feeds": "tape",
        "ticks": 12,
        "symbols": 2,
        "days": 2,
        "first day": DAYS[0],
        "last day": DAYS[1],
        "dry run": True,
    }
    changes = output.metadata["changes"]
    assert isinstance(changes, dg.TableMetadataValue)
    assert [row.data for row in changes.records] == [
        {"feed": "tape", "becomes": "secondary", "symbol": "AAPL", "ticks": 6, "days": 2},
        {"feed": "stocks", "becomes": "primary", "symbol": "AAPL", "ticks": 4, "days": 2},
        {"feed": "stocks", "becomes": "primary", "symbol": "MSFT", "ticks": 2, "days": 2},
    ]
    done = run(dry_run=False)
    assert done.success
    assert marks(database) == AFTER
    assert changed_hours(database) == 0
    assert rows(database, "SELECT count(*) FROM ticks_platform.candle_refresh") == [(0,)]
    for candle in CANDLES:
        assert closes(database, candle.name) == [("AAPL", 249.0), ("MSFT", 400.0)] * 2
    observed = {event.asset_key.to_user_string() for event in done.get_asset_observation_events() if event.asset_key}
    assert observed == {"stocks_real_time", *(candle.name for candle in CANDLES)}
    write(tape=True, stocks=False)
    assert run(dry_run=False).success
    assert marks(database) == BEFORE
    for candle in CANDLES:
        assert closes(database, candle.name) == [("AAPL", 250.0), ("MSFT", None)] * 2


def test_ticks_of_a_symbol_that_its_feed_no_longer_lists_stay(
    project: Path, database: Database, write: Callable[..., None], run: Run
) -> None:
    """A second feed with AAPL was secondary. Without AAPL it becomes primary, and its old ticks mix with nobody's."""
    store(database)
    refresh(database)
    write(tape=True, stocks=True)
    file = project / "feeds.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("[AAPL, MSFT]", "[MSFT]"), encoding="utf-8")
    assert run(dry_run=False).success
    assert marks(database) == {**BEFORE, "stocks": [23, 31, None]}
    assert closes(database, "one_minute_candle") == [("AAPL", 250.0), ("MSFT", 400.0)] * 2


def test_feeds_that_ran_together_before_are_a_warning(
    project: Path, write: Callable[..., None], load: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    write(tape=True, stocks=True)
    with pytest.raises(SettingsError, match="feeds 'tape' and 'stocks' would both make the candles of AAPL"):
        load()
    for feed in ("tape", "stocks"):
        path = journal_path(feed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (found,) = checked(load(), instance, "symbols_have_one_primary_feed", "stocks_real_time")
    assert (found.passed, found.severity) == (False, WARN)
    assert "feeds 'tape' and 'stocks' would both make the candles of AAPL" in (found.description or "")
    assert "candles: false" in str(found.metadata["to mend it"].value)
    write(tape=True, stocks=False)
    (found,) = checked(load(), instance, "symbols_have_one_primary_feed", "stocks_real_time")
    assert found.passed
