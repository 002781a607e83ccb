"""What an imported file proves: candles of the symbols that are in it, of the time of which it has everything."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.imports.files import Import
from ticks_platform.ingestion.imports.options import Options
from ticks_platform.ingestion.imports.settle import settle
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import candle_proof, proving, reconciliation
from ticks_platform.timescale.candles.candles import ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import importing
from ticks_platform_tests.support.importing import CSV, OPENING, import_files, stocks, text_of, trades, write
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import load_frames

HOUR = timedelta(hours=1)


def prove(database: Database) -> dict[tuple[str, str], set[str]]:
    """What the schedule proves; by symbol and length."""
    with database.autocommit() as cursor:
        assert audit.hours(cursor).differing == 0
        untils = proving.received_until(cursor, patience=0.5)
        proving.record(cursor, untils, reconciliation.reconcile(cursor))
    found: dict[tuple[str, str], set[str]] = {}
    for symbol, every, proof in rows(database, "SELECT DISTINCT symbol, every, proof FROM proven_candle"):
        found.setdefault((symbol, every), set()).add(proof)
    return found


def add_gap(database: Database, symbol: str, *, feed: str = "stocks") -> None:
    begin = OPENING + timedelta(minutes=30)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
            "VALUES (%s, %s, %s, %s, 'disconnected')",
            (feed, symbol, begin, begin + timedelta(minutes=10)),
        )


def asked_for(database: Database, *symbols: str, since: datetime | None = None) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
            "SELECT 'stocks', symbol, %s, 'XNYS' FROM unnest(%s) AS symbol",
            (since or datetime.now(timezone.utc), list(symbols)),
        )


def csv_of(*symbols: str, begin: datetime = OPENING) -> str:
    found = [
        {"time": (begin + timedelta(minutes=minute)).isoformat(), "symbol": symbol, "price": 1 + minute, "size": 1}
        for symbol in symbols
        for minute in range(60)
    ]
    return text_of(found, ("time", "symbol", "price", "size"))


@pytest.mark.parametrize("since", ["later", pytest.param("never", marks=pytest.mark.full)])
def test_a_day_from_before_a_symbol_was_received_is_proven_by_its_file(
    database: Database, tmp_path: Path, since: str
) -> None:
    feed = stocks("AAPL", "MSFT", "NVDA")
    rows_of_file = [*trades("AAPL", 360), *trades("MSFT", 60)]
    import_files(database, feed, write(tmp_path / "day.csv.gz", text_of(rows_of_file)))
    if since == "later":
        asked_for(database, "AAPL", "MSFT", "NVDA")
    settle(database, feed, owner="test")
    proofs = prove(database)
    assert {proofs[symbol, every] == {"proven"} for symbol in ("AAPL", "MSFT") for every in ("1m", "1h")} == {True}
    assert proofs["AAPL", "1d"] == {"gap"}, "a day in New York is none in UTC"
    kept = "SELECT array_agg(DISTINCT symbol ORDER BY symbol) FROM ticks_platform.feed_repair WHERE state = 'done'"
    assert rows(database, kept) == [(["AAPL", "MSFT"],)], "of NVDA it tells nothing"


def test_a_symbol_that_is_added_before_the_end_is_not_filled_by_the_file(database: Database, tmp_path: Path) -> None:
    """Its rows were left out when the file was read."""
    file = write(tmp_path / "day.csv", text_of([*trades("AAPL", 360), *trades("MSFT", 360)]))
    import_files(database, stocks("AAPL"), file)
    add_gap(database, "AAPL")
    add_gap(database, "MSFT")
    assert settle(database, stocks("AAPL", "MSFT"), owner="test").gaps == 1
    assert rows(database, "SELECT symbol, state FROM ticks_platform.feed_gap ORDER BY 1") == [
        ("AAPL", "repaired"),
        ("MSFT", "open"),
    ]
    import_files(database, stocks("AAPL", "MSFT"), file)
    assert settle(database, stocks("AAPL", "MSFT"), owner="test").gaps == 1


@pytest.mark.full
def test_a_file_covers_the_symbols_that_are_in_it(database: Database, tmp_path: Path) -> None:
    feed = stocks("AAPL", "MSFT")
    import_files(database, feed, write(tmp_path / "aapl.csv", csv_of("AAPL")), options=CSV)
    add_gap(database, "AAPL")
    add_gap(database, "MSFT")
    assert settle(database, feed, owner="test", covers=(OPENING, OPENING + HOUR)).gaps == 1
    assert rows(database, "SELECT state FROM ticks_platform.feed_gap ORDER BY symbol") == [("repaired",), ("open",)]


@pytest.mark.full
def test_what_is_said_to_be_covered_is_proven_also_where_bars_are_all_that_a_provider_has(
    database: Database, tmp_path: Path
) -> None:
    feed = FeedSettings.model_validate(
        {"name": "prices", "provider": "twelve_data", "api_key_env": "NO_KEY_IS_NEEDED", "symbols": ["AAPL"]}
    )
    import_files(database, feed, write(tmp_path / "mine.csv", csv_of("AAPL")), options=CSV)
    settle(database, feed, owner="test")
    assert prove(database)["AAPL", "1m"] == {"not_checked"}, "nobody knows of which time it has everything"
    ids = [each for (each,) in rows(database, "SELECT journal_id::text FROM ticks_platform.feed_import")]
    hour = datetime(2024, 4, 5, 14, tzinfo=timezone.utc)
    settle(database, feed, owner="test", covers=(hour, hour + HOUR / 2), imported=ids)
    assert rows(
        database,
        "SELECT proof, count(*)::int FROM proven_candle WHERE every = '1m' GROUP BY 1 ORDER BY 1",
    ) == [("gap", 30), ("proven", 30)]


@pytest.mark.full
@pytest.mark.parametrize("options", [importing.POLYGON, CSV], ids=["flat file", "csv"])
def test_a_file_of_a_day_that_is_not_over_tells_nothing_of_its_rest(
    database: Database, tmp_path: Path, options: Options
) -> None:
    """Of a flat file nobody knows how far it goes; of others, not what comes after they were read."""
    begin = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=2)
    feed = stocks("AAPL", calendar="always")
    text = text_of(trades("AAPL", 60, begin=begin, seconds=60)) if options is not CSV else csv_of_seconds(begin)
    import_files(database, feed, write(tmp_path / "today.csv", text), options=options)
    covers = None if options is not CSV else (begin - HOUR, begin + 24 * HOUR)
    settle(database, feed, owner="test", covers=covers)
    assert rows(database, "SELECT count(*)::int FROM ticks_platform.feed_repair WHERE ends_at > clock_timestamp()") == [
        (0,)
    ]
    covered = rows(database, "SELECT count(*)::int FROM ticks_platform.feed_repair")
    assert covered == [(1 if options is CSV else 0,)]


def csv_of_seconds(begin: datetime) -> str:
    found = [
        {"time": (begin + timedelta(seconds=number)).isoformat(), "symbol": "AAPL", "price": 1, "size": 1}
        for number in range(60)
    ]
    return text_of(found, ("time", "symbol", "price", "size"))


@pytest.mark.full
def test_what_an_older_release_has_read_covers_the_symbols_of_its_ticks(database: Database, tmp_path: Path) -> None:
    """The column is added where it is missing, and what is not known of a file is looked up."""
    feed = stocks("AAPL", "MSFT")
    import_files(database, feed, write(tmp_path / "day.csv", text_of(trades("AAPL", 360))))
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE ticks_platform.feed_import DROP COLUMN symbols")
        sql_files.apply(cursor, "schema/feed_import.sql")
    assert rows(database, "SELECT symbols FROM ticks_platform.feed_import") == [(None,)]
    add_gap(database, "AAPL")
    add_gap(database, "MSFT")
    assert settle(database, feed, owner="test").gaps == 1
    assert rows(database, "SELECT state FROM ticks_platform.feed_gap ORDER BY symbol") == [("repaired",), ("open",)]


@pytest.mark.full
def test_a_symbol_that_is_known_in_the_second_half_alone_is_not_covered(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle; meanwhile the feed had another symbol, whose rows are read from there on."""
    monkeypatch.setattr("ticks_platform.ingestion.loader.MAX_BATCH_BYTES", 64 << 10)
    feed = stocks("AAPL")
    both = [each for pair in zip(trades("AAPL", 6_000), trades("MSFT", 6_000), strict=True) for each in pair]
    file = write(tmp_path / "day.csv", text_of(both))
    stopped = Import(feed=feed, database=database, owner="stopped", options=importing.POLYGON)
    committed = importing.FileLoader._committed

    def stop_after(self: importing.FileLoader) -> None:
        committed(self)
        if self.metrics.loaded:
            stopped.stop()

    with monkeypatch.context() as patch:
        patch.setattr(importing.FileLoader, "_committed", stop_after)
        stopped.run([file])
    asked_for(database, "MSFT")
    (done,) = import_files(database, feed, file)
    assert done.is_complete
    assert 0 < rows(database, "SELECT count(*) FROM stocks_real_time WHERE symbol = 'MSFT'")[0][0] < 6_000
    assert rows(database, "SELECT symbols FROM ticks_platform.feed_import") == [(["AAPL"],)]


@pytest.mark.full
def test_all_of_a_market_is_covered_where_all_of_it_is_asked_for(database: Database, tmp_path: Path) -> None:
    feed = stocks("*")
    import_files(database, feed, write(tmp_path / "day.csv", text_of(trades("AAPL", 360))))
    add_gap(database, "*")
    assert settle(database, feed, owner="test").gaps == 1
    assert rows(database, "SELECT DISTINCT symbol FROM ticks_platform.feed_repair") == [("*",)]


@pytest.mark.full
@pytest.mark.parametrize("asked", ["before", "later"])
def test_a_day_of_a_market_is_proven_by_its_file(database: Database, tmp_path: Path, asked: str) -> None:
    """In one row, whatever the number of its symbols; also a gap of the whole market is closed by it."""
    feed = stocks("*")
    file = write(tmp_path / "day.csv.gz", text_of([*trades("AAPL", 360), *trades("MSFT", 60)]))
    import_files(database, feed, file)
    if asked == "later":
        asked_for(database, "*")
    else:
        asked_for(database, "*", since=OPENING - HOUR)
        add_gap(database, "*")
    assert "gap" in prove(database)["AAPL", "1h"]
    assert settle(database, feed, owner="test").gaps == (1 if asked == "before" else 0)
    proofs = prove(database)
    assert {proofs[symbol, every] == {"proven"} for symbol in ("AAPL", "MSFT") for every in ("1m", "1h")} == {True}
    assert rows(database, "SELECT symbol FROM ticks_platform.feed_repair") == [("*",)]


@pytest.mark.full
def test_a_file_of_some_symbols_tells_nothing_of_the_others_of_their_market(database: Database, tmp_path: Path) -> None:
    """Whoever says what it covers says so of what is in it."""
    feed, begin = stocks("*"), datetime(2024, 4, 5, 13, tzinfo=timezone.utc)
    import_files(database, feed, write(tmp_path / "msft.csv", csv_of("MSFT", begin=begin)), options=CSV)
    add_gap(database, "*")
    file = write(tmp_path / "aapl.csv", csv_of("AAPL", begin=begin))
    (done,) = import_files(database, feed, file, options=CSV)
    assert done.is_complete
    ids = "SELECT journal_id::text FROM ticks_platform.feed_import WHERE file LIKE '%aapl%'"
    imported = [each for (each,) in rows(database, ids)]
    assert settle(database, feed, owner="test", covers=(begin, begin + HOUR), imported=imported).gaps == 0
    proofs = prove(database)
    assert proofs["AAPL", "1h"] == {"proven"}
    assert proofs["MSFT", "1h"] == {"not_checked"}
    assert rows(database, "SELECT symbol FROM ticks_platform.feed_repair") == [("AAPL",)]


@pytest.mark.full
def test_a_file_of_today_beside_what_is_received(database: Database, tmp_path: Path) -> None:
    """Candles that are over are those of both, nothing is materialized that is not over, and the account balances."""
    minute = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    begin = minute - timedelta(minutes=5)
    feed = stocks("AAPL", calendar="always", endpoint="ws://127.0.0.1:9", synthetic_endpoint=True)
    of_file = trades("AAPL", 300, begin=begin, seconds=300)
    live = [
        {"ev": "T", "sym": "AAPL", "i": f"L{number}", "x": 4, "p": 50, "s": 1, "z": 3}
        | {"t": int((begin + timedelta(minutes=number)).timestamp() * 1000)}
        for number in range(6)
    ]
    load_frames(database, feed, tmp_path, json.dumps(live[:3]).encode())
    file = write(tmp_path / "today.csv", text_of(of_file))
    import_files(database, feed, file, options=importing.POLYGON._replace(synthetic=True))
    load_frames(database, feed, tmp_path, json.dumps(live[3:]).encode())
    done = settle(database, feed, owner="test")
    last = minute - timedelta(seconds=1)
    assert (done.days, done.left) == ((last.date() - begin.date()).days + 1, 0)
    stored = rows(database, "SELECT bucket, tick_count::int, low FROM one_minute_candle ORDER BY 1")
    closed = [(bucket, count, low) for bucket, count, low in stored if bucket < minute]
    assert closed == [(begin + timedelta(minutes=number), 61, 50) for number in range(5)]
    with database.autocommit() as cursor:
        _, until = candle_proof.materialized(cursor, ONE_MINUTE)
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone() or (minute,)
    assert until is not None
    assert begin < until <= now
    assert unbalanced(database) == []
