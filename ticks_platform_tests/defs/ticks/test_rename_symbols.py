"""The job that renames the stored history of symbols."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.feeds.renamed import former
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.timescale import renames
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import refresh
from ticks_platform_tests.support.ingestion import rows

FEEDS = """
feeds:
  stocks:
    provider: twelve_data
    endpoint: stand-in
    symbols: [{symbols}]
"""

DAYS = ("2026-03-02", "2026-03-03", "2026-03-04")

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def run(project: Path, load: Callable[[], dg.Definitions], instance: dg.DagsterInstance) -> Run:
    """Writes feeds.yaml, reloads the definitions, and runs the job."""

    def run_job(symbols: str = "aapl:nasdaq, msft", **config: Any) -> dg.ExecuteInProcessResult:
        (project / "feeds.yaml").write_text(FEEDS.format(symbols=symbols), encoding="utf-8")
        return (
            load()
            .resolve_job_def("rename_symbols")
            .execute_in_process(
                run_config={"ops": {"rename_stored_symbols": {"config": config}}},
                instance=instance,
                raise_on_error=False,
            )
        )

    return run_job


def tick(database: Database, at: str, symbol: str, price: float, feed: str = "stocks") -> None:
    ticks = rows(database, "SELECT count(*) FROM stocks_real_time")[0][0]
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            (at, symbol, price, f"00000000-0000-7000-8000-{ticks:012}", feed, at),
        )


def store(database: Database) -> None:
    """Three days as an earlier release stored them, of which two are compressed; the last has new names too."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stocks', 'twelve_data', true)"
        )
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection)
            VALUES ('stocks', 'aapl', '2026-03-02', '2026-03-04 20:00+00', 'stopped', 1, 1),
                ('stocks', 'msft', '2026-03-02', '2026-03-04 20:00+00', 'stopped', 1, 1)
            """
        )
        cursor.execute("INSERT INTO company VALUES ('AAPL', 'Apple'), ('AAPL:NASDAQ', 'Apple Inc.')")
    for number, day in enumerate(DAYS):
        tick(database, f"{day} 15:00:00+00", "AAPL", 250.0 + number)
        tick(database, f"{day} 15:30:00+00", "MSFT", 400.0 + number)
    tick(database, "2026-03-04 20:00:00+00", "AAPL:NASDAQ", 260.0)
    refresh(database)
    older = "show_chunks('stocks_real_time', older_than => TIMESTAMPTZ '2026-03-04')"
    rows(database, f"SELECT compress_chunk(chunk) FROM {older} AS chunk")


def closes(database: Database, candle: str) -> list[tuple[Any, ...]]:
    return rows(database, f"SELECT bucket::date::text, symbol, close FROM {candle} ORDER BY bucket, symbol")


def counts(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, "SELECT symbol, count(*) FROM stocks_real_time GROUP BY symbol ORDER BY symbol")


def refusal(result: dg.ExecuteInProcessResult) -> str:
    """What a run that was refused said."""
    assert not result.success
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert failure.user_failure_data is not None
    return str(failure.user_failure_data.description)


NEW_DAYS = [
    (day, symbol, close)
    for number, day in enumerate(DAYS)
    for symbol, close in (("AAPL:NASDAQ", 260.0 if number == 2 else 250.0 + number), ("MSFT", 400.0 + number))
]


def test_what_earlier_releases_stored_is_renamed(database: Database, run: Run) -> None:
    store(database)
    before = counts(database)
    assert before == [("AAPL", 3), ("AAPL:NASDAQ", 1), ("MSFT", 3)]
    # Retention has dropped the ticks of the first day, whose candles are all that is left of it.
    rows(database, "SELECT drop_chunks('stocks_real_time', older_than => TIMESTAMPTZ '2026-03-03')")
    dry = run()
    assert dry.success
    (output,) = (event.step_output_data for event in dry.all_events if event.is_successful_output)
    changes = output.metadata["changes"]
    assert isinstance(changes, dg.TableMetadataValue)
    assert {(row.data["old"], row.data["new"], row.data["table"], row.data["rows"]) for row in changes.records} == {
        ("aapl", "AAPL:NASDAQ", "feed_coverage", 1),
        ("AAPL", "AAPL:NASDAQ", "stocks_real_time", 2),
        ("AAPL", "AAPL:NASDAQ", "company", 1),
        *(("AAPL", "AAPL:NASDAQ", candle.name, 1) for candle in CANDLES),
        ("msft", "MSFT", "feed_coverage", 1),
    }
    assert counts(database) == [("AAPL", 2), ("AAPL:NASDAQ", 1), ("MSFT", 2)], "a dry run"
    for _ in range(2):
        assert run(dry_run=False).success
        assert counts(database) == [("AAPL:NASDAQ", 3), ("MSFT", 2)]
        assert closes(database, "one_day_candle") == NEW_DAYS
        assert [row[1:] for row in closes(database, "one_minute_candle") if row[0] == DAYS[0]] == [
            ("AAPL:NASDAQ", 250.0),
            ("MSFT", 400.0),
        ]
        assert len(closes(database, "one_minute_candle")) == len(closes(database, "one_hour_candle")) == 7
        assert rows(database, "SELECT symbol FROM ticks_platform.feed_coverage ORDER BY 1") == [
            ("AAPL:NASDAQ",),
            ("MSFT",),
        ]
        assert rows(database, "SELECT symbol, name FROM company WHERE symbol LIKE 'AAPL%'") == [
            ("AAPL:NASDAQ", "Apple Inc.")
        ]


@pytest.mark.full
def test_a_change_of_ticker_and_back(database: Database, run: Run) -> None:
    store(database)
    assert run("AAPL:NASDAQ, M2", renames={"MSFT": "M2"}, dry_run=False).success
    assert counts(database) == [("AAPL", 3), ("AAPL:NASDAQ", 1), ("M2", 3)]
    assert [row[1] for row in closes(database, "one_hour_candle")].count("M2") == 3
    assert run("AAPL:NASDAQ, MSFT", renames={"M2": "MSFT"}, dry_run=False).success
    assert counts(database) == [("AAPL", 3), ("AAPL:NASDAQ", 1), ("MSFT", 3)]


def test_what_would_mix_two_instruments_is_refused(database: Database, run: Run) -> None:
    store(database)
    tick(database, "2026-03-03 14:00:00+00", "AAPL:NASDAQ", 1.0)
    tick(database, "2026-03-03 18:00:00+00", "AAPL:NASDAQ", 1.0)
    tick(database, "2026-03-03 16:00:00+00", "AAPL", 1.0)
    said = refusal(run(dry_run=False))
    assert "AAPL and AAPL:NASDAQ both have ticks at the same times, first on 2026-03-03" in said
    assert ("AAPL", 4) in counts(database)


def test_renames_that_follow_each_other_are_refused(database: Database, run: Run) -> None:
    """Facebook took the ticker META, which a fund had until then: the fund's ticks must not become Facebook's."""
    tick(database, "2026-03-02 15:00+00", "META", 10.0)
    tick(database, "2026-03-03 15:00+00", "FB", 300.0)
    before = counts(database)
    for renames_of in ({"FB": "META", "META": "METV"}, {"META": "METV", "FB": "META"}):
        said = refusal(run("AAPL", renames=renames_of, dry_run=False))
        assert "META is the new name of FB and the old name of METV: rename META to METV in a run of its own" in said
        assert counts(database) == before
    assert "in a run of its own" in refusal(run("AAPL", renames={"FB": "META", "META": "FB"}, dry_run=False))
    assert run("AAPL", renames={"META": "METV"}, dry_run=False).success
    assert run("AAPL", renames={"FB": "META"}, dry_run=False).success
    refresh(database)
    assert closes(database, "one_day_candle") == [("2026-03-02", "METV", 10.0), ("2026-03-03", "META", 300.0)]


def test_two_instruments_do_not_get_one_new_name(database: Database, run: Run) -> None:
    for minute in (0, 10):
        tick(database, f"2026-03-02 15:{minute:02}+00", "A", 10.0)
        tick(database, f"2026-03-02 15:{minute + 5:02}+00", "B", 90.0)
    said = refusal(run("AAPL", renames={"A": "C", "B": "C"}, dry_run=False))
    assert "A and B both have ticks at the same times, first on 2026-03-02" in said
    assert counts(database) == [("A", 2), ("B", 2)]


@pytest.mark.parametrize("name", ["", " ", "META ", "A,B", "META\n", "x" * 101], ids=ascii)
def test_a_name_that_no_symbol_can_have_is_refused(database: Database, run: Run, name: str) -> None:
    tick(database, "2026-03-02 15:00+00", "FB", 10.0)
    assert "is none that a symbol can have: it needs 1 to 100" in refusal(run("AAPL", renames={"FB": name}))


@pytest.mark.full
def test_rows_by_hand_are_renamed_with_what_is_known_of_their_instrument(database: Database, run: Run) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price) VALUES "
            "('2026-03-02 15:00+00', 'FB', 1), ('2026-03-02 15:00+00', 'FB', 2);"
            "INSERT INTO corporate_action (symbol, kind, execution_date, split_from, split_to) "
            "VALUES ('FB', 'split', '2026-03-03', 1, 2);"
            "INSERT INTO instrument (symbol, may_be_negative) VALUES ('FB', false)"
        )
    refresh(database)
    assert run("META", renames={"FB": "META"}, dry_run=False).success
    assert closes(database, "one_minute_candle") == [("2026-03-02", "META", 2.0)]
    for table in ("corporate_action", "instrument"):
        assert rows(database, f"SELECT symbol FROM {table}") == [("META",)]


def test_a_name_that_feeds_yaml_still_has_is_not_renamed(database: Database, run: Run) -> None:
    store(database)
    refused = run("AAPL, MSFT", renames={"AAPL": "AAPL:NASDAQ"}, dry_run=False)
    assert not refused.success
    assert counts(database)[0] == ("AAPL", 3)
    # Rows of two listings under one name: nobody knows whose they are.
    mixed = run("AAPL, AAPL:NASDAQ, MSFT", dry_run=False)
    assert mixed.success
    (output,) = (event.step_output_data for event in mixed.all_events if event.is_successful_output)
    said = str(output.metadata["left as they are"].value)
    assert said.startswith("rows of AAPL in feed 'stocks' may be of AAPL:NASDAQ or of AAPL, and do not say which")
    assert counts(database)[0] == ("AAPL", 3)


def test_no_table_that_names_a_symbol_is_forgotten(database: Database, run: Run) -> None:
    with database.transaction() as cursor:
        known = {table.name for table in renames.tables(cursor)}
    query = """
        SELECT DISTINCT table_name FROM information_schema.columns
        JOIN information_schema.tables USING (table_schema, table_name)
        WHERE column_name = 'symbol' AND table_schema IN ('public', 'ticks_platform') AND table_type = 'BASE TABLE'
    """
    assert known == {row[0] for row in rows(database, query)}
    assert {
        "stocks_real_time",
        "stock_quotes",
        "official_price",
        "tick_correction",
        "feed_true_up",
        "feed_gap",
    } <= known


def test_former_names() -> None:
    def names(provider: str, *symbols: str, **options: str) -> dict[tuple[str | None, str], str]:
        feed = FeedSettings(name="f", provider=provider, options=options, symbols=symbols)  # type: ignore[arg-type]
        return former([feed]).names

    assert names("twelve_data", "AAPL", "aapl:nasdaq") == {("f", "aapl"): "AAPL:NASDAQ"}
    assert names("twelve_data", "ry:tsx", "eur/usd") == {
        ("f", "ry"): "RY:TSX",
        ("f", "RY"): "RY:TSX",
        ("f", "eur/usd"): "EUR/USD",
    }
    assert names("polygon", "eur-usd", market="forex") == {("f", "eur/usd"): "EUR/USD"}
    assert names("polygon", "btc-usd", market="crypto") == {("f", "btc-usd"): "BTC-USD"}
    assert names("polygon", "BACpB") == {}
    assert names("coinbase", "btc-usd", "ETH-USD") == {("f", "btc-usd"): "BTC-USD"}
