"""Files of past trades: each row is stored once, as if it had been received, whatever ends the import in between."""

from __future__ import annotations

import contextlib
import gzip
import json
import signal
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.imports.file_frames import FileError
from ticks_platform.ingestion.imports.files import Import, NotForThisFeedError
from ticks_platform.ingestion.imports.options import Options
from ticks_platform.ingestion.imports.settle import Settled, settle
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import MixedDatabaseError
from ticks_platform.ingestion.reload import reload_rejected
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import importing
from ticks_platform_tests.support.children import Child
from ticks_platform_tests.support.feeds import wait_until
from ticks_platform_tests.support.importing import (
    CSV,
    OPENING,
    POLYGON,
    Trade,
    import_files,
    stocks,
    text_of,
    trades,
    write,
)
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import live_loader, load_frames

CANDLE_NAMES = [candle.name for candle in CANDLES]

FIELDS = "time, symbol, price, size, exchange, trade_id, conditions, updates"


def ticks(database: Database, feed: str = "stocks") -> list[tuple[Any, ...]]:
    return rows(database, f"SELECT {FIELDS} FROM stocks_real_time WHERE feed = '{feed}' ORDER BY {FIELDS}")


def as_received(trade: Trade) -> dict[str, Any]:
    """The same trade, as the WebSocket brings it."""
    event = {
        "ev": "T",
        "sym": trade["ticker"],
        "i": trade["id"],
        "x": trade["exchange"],
        "p": float(trade["price"]),
        "s": float(trade["size"]),
        "t": trade["sip_timestamp"] // 1_000_000,
        "z": trade["tape"],
    }
    if trade["conditions"]:
        event["c"] = list(map(int, trade["conditions"].split(",")))
    return event | ({"trfi": trade["trf_id"]} if trade["trf_id"] else {})


@pytest.mark.parametrize("name", ["trades.csv", "trades.csv.gz"])
def test_a_flat_file_has_the_ticks_that_a_connection_would_have_brought(
    database: Database, tmp_path: Path, name: str
) -> None:
    made = [*trades("AAPL", 700), *trades("MSFT", 500), *trades("ZZZ", 900)]
    feed = stocks("AAPL", "MSFT")
    (done,) = import_files(database, feed, write(tmp_path / name, text_of(made)))
    assert (done.metrics.loaded, done.metrics.duplicate, done.metrics.rejected) == (1200, 0, 0)
    stored = ticks(database)
    frames = [json.dumps([as_received(trade)]).encode() for trade in made if trade["ticker"] != "ZZZ"]
    live = stocks("AAPL", "MSFT", name="live", endpoint="ws://127.0.0.1:9", synthetic_endpoint=True)
    with database.transaction() as cursor:  # so that both may be in one database
        cursor.execute("UPDATE ticks_platform.feed SET synthetic = true")
    assert load_frames(database, live, tmp_path, *frames).loaded == 1200
    assert stored == ticks(database, "live")
    assert unbalanced(database) == []


def test_a_file_is_imported_once_and_its_rows_under_other_names_too(database: Database, tmp_path: Path) -> None:
    feed, text = stocks("AAPL"), text_of(trades("AAPL", 300))
    first = write(tmp_path / "first.csv", text)
    import_files(database, feed, first)
    (again,) = import_files(database, feed, first.rename(tmp_path / "renamed.csv"))
    assert (again.was_known, again.metrics.loaded) == (True, 0)
    (packed,) = import_files(database, feed, write(tmp_path / "packed.csv.gz", text))
    assert (packed.metrics.loaded, packed.metrics.duplicate) == (0, 300)
    # With another symbol, rows of the same file are read that were left out.
    (more,) = import_files(database, stocks("AAPL", "MSFT"), tmp_path / "renamed.csv")
    assert (more.metrics.loaded, more.metrics.duplicate) == (0, 300)
    assert len(ticks(database)) == 300
    assert unbalanced(database) == []


def test_trades_that_were_received_are_known(database: Database, tmp_path: Path) -> None:
    made = trades("AAPL", 400)
    feed = stocks("AAPL", endpoint="ws://127.0.0.1:9", synthetic_endpoint=True)
    load_frames(database, feed, tmp_path, *(json.dumps([as_received(trade)]).encode() for trade in made[100:200]))
    (done,) = import_files(
        database, feed, write(tmp_path / "day.csv", text_of(made)), options=POLYGON._replace(synthetic=True)
    )
    assert (done.metrics.loaded, done.metrics.duplicate) == (300, 100)
    assert len(ticks(database)) == 400
    assert unbalanced(database) == []


@pytest.mark.parametrize("known_first", ["the file", "the feed"])
def test_a_feed_that_runs_and_a_file_have_the_same_trades(database: Database, tmp_path: Path, known_first: str) -> None:
    """The feed's process began before the import, so it knows of the file's trades by the database alone."""
    begin = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(seconds=60)
    made = trades("AAPL", 100, begin=begin, seconds=50)
    feed = stocks("AAPL", endpoint="ws://127.0.0.1:9", synthetic_endpoint=True)
    frames = [
        # Fresh: nothing about them says that they may be stored.
        Frame(json.dumps([as_received(trade)]).encode(), trade["sip_timestamp"] + 20_000_000, 1)
        for trade in made
    ]
    file = write(tmp_path / "day.csv", text_of(made))
    with contextlib.closing(Journal(tmp_path / "live.sqlite3", feed=feed.name, synthetic=True)) as journal:
        loader = live_loader(database, feed, journal)
        running = threading.Thread(target=loader.run)
        running.start()
        try:
            epoch = loader._lease.epoch
            count = 1 if known_first == "the file" else 40
            journal.append(frames[:count], epoch=epoch)
            wait_until(lambda: loader.metrics.loaded == count, "the first trades are stored", 60)
            (done,) = import_files(database, feed, file, options=POLYGON._replace(synthetic=True))
            assert (done.metrics.loaded, done.metrics.duplicate) == (100 - count, count)
            journal.append(frames[count:], epoch=epoch)
        finally:
            journal.stop_appending()
            running.join()
    assert (loader.metrics.loaded, loader.metrics.duplicate) == (count, 100 - count)
    assert len(ticks(database)) == 100
    assert unbalanced(database) == []


def expire(database: Database) -> None:
    """The lease of a killed process has ended."""
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_repair_lease SET heartbeat_at = now() - INTERVAL '1 hour'")


@pytest.mark.full
@pytest.mark.parametrize("packed", [False, True])
def test_killed_five_times_each_trade_is_stored_once(
    database: Database, database_url: str, tmp_path: Path, packed: bool
) -> None:
    """Before and after a commit; 128 KB a batch, of which the file has twenty."""
    made = [*trades("AAPL", 12_000), *trades("MSFT", 12_000)]
    feed = stocks("AAPL", "MSFT")
    file = write(tmp_path / ("day.csv.gz" if packed else "day.csv"), text_of(made))
    counts = []
    for place, at in (("stored", 1), ("stored", 3), ("committed", 4), ("committed", 3), ("stored", 2)):
        child = Child(importing.main, database_url, feed.model_dump(mode="json"), file, POLYGON._asdict(), place, at)
        child.wait(60)
        assert child.exit_code == -signal.SIGKILL, place
        counts.append(len(ticks(database)))
        expire(database)
    assert counts == sorted(counts)
    assert 0 < counts[-1] < 24_000
    (done,) = import_files(database, feed, file)
    assert done.metrics.loaded == 24_000 - counts[-1]
    assert (done.metrics.duplicate, done.metrics.rejected) == (0, 0)
    assert rows(database, "SELECT count(*), count(DISTINCT (symbol, trade_id)) FROM stocks_real_time") == [
        (24_000, 24_000)
    ]
    assert rows(database, "SELECT finished_at IS NOT NULL FROM ticks_platform.feed_import") == [(True,)]
    assert unbalanced(database) == []


@pytest.mark.full
def test_killed_between_equal_trades_without_an_id_each_is_stored_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """All rows are equal: only their number tells them apart, also where a kill separates them."""
    row = {"time": "2024-04-05T13:30:00Z", "symbol": "AAPL", "price": 1.5, "size": 10}
    text = text_of(
        [{**row, "exchange": "X" * 60} for _ in range(6000)], ("time", "symbol", "price", "size", "exchange")
    )
    file, feed = write(tmp_path / "equal.csv", text), stocks("AAPL")
    for place, at in (("committed", 1), ("stored", 2), ("committed", 1)):
        child = Child(importing.main, database_url, feed.model_dump(mode="json"), file, CSV._asdict(), place, at)
        child.wait(60)
        assert child.exit_code == -signal.SIGKILL
        assert len(ticks(database)) < 6000
        expire(database)
    import_files(database, feed, file, options=CSV)
    assert len(ticks(database)) == 6000
    assert unbalanced(database) == []


def test_a_stopped_import_goes_on(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticks_platform.ingestion.loader.MAX_BATCH_BYTES", 64 << 10)
    made = trades("AAPL", 6000)
    # What comes again is known, also where the process that stored it has ended.
    feed, file = stocks("AAPL"), write(tmp_path / "day.csv.gz", text_of([*made, *made[:100]]))
    importing_ = Import(feed=feed, database=database, owner="stopped", options=POLYGON)
    committed = importing.FileLoader._committed

    def stop_after(self: importing.FileLoader) -> None:
        committed(self)
        if self.metrics.loaded:
            importing_.stop()

    monkeypatch.setattr(importing.FileLoader, "_committed", stop_after)
    (stopped,) = importing_.run([file])
    assert not stopped.is_complete
    assert 0 < len(ticks(database)) < 6000
    monkeypatch.setattr(importing.FileLoader, "_committed", committed)
    (done,) = import_files(database, feed, file)
    assert done.is_complete
    assert done.metrics.duplicate == 100
    assert len(ticks(database)) == 6000
    assert unbalanced(database) == []


def test_rows_that_cannot_be_stored_say_file_and_line(database: Database, tmp_path: Path) -> None:
    made = trades("AAPL", 8)
    made[1]["price"] = "a lot"
    made[2]["sip_timestamp"] = ""
    made[4]["sip_timestamp"] = 1_000_000_000
    made[5]["sip_timestamp"] = 4_000_000_000_000_000_000
    text = text_of(made) + "AAPL,too,few\n\n"
    feed = stocks("AAPL")
    (done,) = import_files(database, feed, write(tmp_path / "day.csv", text))
    assert (done.metrics.loaded, done.metrics.rejected) == (4, 5)
    reasons = [
        reason for (reason,) in rows(database, "SELECT reason FROM ticks_platform.rejected_event ORDER BY position")
    ]
    assert [reason.partition(":")[0] for reason in reasons] == [f"day.csv, line {n}" for n in (3, 4, 6, 7, 10)]
    assert "before 1990" in reasons[2]
    assert "after its arrival" in reasons[3]
    assert unbalanced(database) == []
    # The bytes that were kept are read as what they are.
    again = reload_rejected(feed, database)
    assert (again.read, again.rejected) == (5, 5)
    assert unbalanced(database) == []


def test_cancelled_and_corrected_trades_and_official_prices(database: Database, tmp_path: Path) -> None:
    made = trades("AAPL", 6)
    made[1]["correction"] = 8
    made[2]["conditions"] = "16"
    (done,) = import_files(database, stocks("AAPL"), write(tmp_path / "day.csv", text_of(made)))
    assert done.metrics.rejected == 0
    assert rows(database, "SELECT kind, trade_id FROM tick_correction") == [("cancelled", made[1]["id"])]
    assert rows(database, "SELECT count(*) FROM official_price") == [(1,)]
    assert unbalanced(database) == []


def test_csv_of_anybody(database: Database, tmp_path: Path) -> None:
    text = (
        "ts;x\n".replace(";", ",").replace("ts,x", "ts,ticker,px,qty,note,conditions")
        + '1712323800.25,AAPL,101.5,3,hello,"12,37"\n'
        + "1712323801,MSFT,55,,,\n"
        + "1712323802,ZZZ,1,1,,\n"
        + "soon,AAPL,1,1,,\n"
    )
    columns = {"time": "ts", "symbol": "ticker", "price": "px", "size": "qty"}
    feed = stocks("AAPL", "MSFT")
    (done,) = import_files(database, feed, write(tmp_path / "mine.csv", text), options=Options("csv", columns, "s"))
    assert (done.metrics.loaded, done.metrics.rejected, done.metrics.control) == (2, 1, 1)
    found = rows(
        database,
        "SELECT extract(epoch FROM time)::float, symbol, price, size, conditions FROM stocks_real_time ORDER BY time",
    )
    assert found == [(1712323800.25, "AAPL", 101.5, 3.0, [12, 37]), (1712323801.0, "MSFT", 55.0, None, None)]
    assert unbalanced(database) == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "no column is time, price; it has ts, symbol, px"),
        ({"time": "when"}, "it has no column when"),
        ({"cost": "px"}, "trades have no field cost"),
    ],
)
def test_columns_that_are_not_there_are_said(
    database: Database, tmp_path: Path, columns: dict[str, str], message: str
) -> None:
    file = write(tmp_path / "mine.csv", "ts,symbol,px\n")
    with pytest.raises(FileError, match=message):
        import_files(database, stocks("AAPL"), file, options=Options("csv", columns))


def test_nothing_is_loaded_if_one_of_the_files_is_none(database: Database, tmp_path: Path) -> None:
    good = write(tmp_path / "good.csv", text_of(trades("AAPL", 3)))
    bad = write(tmp_path / "bars.csv", "ticker,volume,open,close,high,low,transactions\n")
    with pytest.raises(FileError, match=r"bars.csv is no flat file of trades: it has no column price"):
        import_files(database, stocks("AAPL"), good, bad)
    assert ticks(database) == []


def test_a_file_that_ends_too_early_is_loaded_up_to_there(database: Database, tmp_path: Path) -> None:
    text, feed = text_of(trades("AAPL", 20_000)), stocks("AAPL")
    whole = gzip.compress(text.encode(), 1)
    file = tmp_path / "day.csv.gz"
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="cannot be unpacked"):
        import_files(database, feed, file)
    file.write_bytes(whole)
    (done,) = import_files(database, feed, file)
    assert done.metrics.loaded + done.metrics.duplicate == 20_000
    assert len(ticks(database)) == 20_000
    assert unbalanced(database) == []


def test_files_of_live_ticks_are_never_beside_synthetic_ones(database: Database, tmp_path: Path) -> None:
    file = write(tmp_path / "day.csv", text_of(trades("AAPL", 3)))
    stand_in = FeedSettings.model_validate(
        {"name": "demo", "provider": "polygon", "endpoint": "stand-in", "symbols": ["AAPL"]}
    )
    with pytest.raises(NotForThisFeedError, match="synthetic"):
        import_files(database, stand_in, file)
    with pytest.raises(NotForThisFeedError, match="made-up"):
        import_files(database, stocks("AAPL"), file, options=POLYGON._replace(synthetic=True))
    import_files(database, stand_in, file, options=POLYGON._replace(synthetic=True))
    with pytest.raises(MixedDatabaseError):
        import_files(database, stocks("AAPL"), file)


def test_a_feed_of_another_provider_has_no_flat_files(database: Database, tmp_path: Path) -> None:
    file = write(tmp_path / "day.csv", text_of(trades("AAPL", 3)))
    other = FeedSettings.model_validate(
        {"name": "prices", "provider": "twelve_data", "api_key_env": "NO_KEY", "symbols": ["AAPL"]}
    )
    with pytest.raises(NotForThisFeedError, match="not of Polygon's stocks"):
        import_files(database, other, file)


def add_gap(database: Database, symbol: str, minutes: float, *, long: float = 10) -> None:
    begin = OPENING + timedelta(minutes=minutes)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
            "VALUES ('stocks', %s, %s, %s, 'disconnected')",
            (symbol, begin, begin + timedelta(minutes=long)),
        )


def test_candles_are_refreshed_and_gaps_closed_at_the_end(database: Database, tmp_path: Path) -> None:
    feed = stocks("AAPL", "MSFT")
    file = write(tmp_path / "day.csv.gz", text_of([*trades("AAPL", 720), *trades("MSFT", 360)]))
    import_files(database, feed, file)
    add_gap(database, "AAPL", 30)
    add_gap(database, "MSFT", 60 * 24)  # on the next day
    done = settle(database, feed, owner="test")
    assert (done.files, done.days, done.gaps) == (1, 1, 1)
    gaps = rows(database, "SELECT symbol, state, detail FROM ticks_platform.feed_gap ORDER BY symbol")
    assert gaps == [("AAPL", "repaired", "repaired by 21 trades"), ("MSFT", "open", "")]
    assert rows(database, "SELECT sum(tick_count)::int, count(*) FROM one_minute_candle") == [(1080, 720)]
    assert settle(database, feed, owner="test").files == 0


def test_a_file_of_csv_fills_what_it_is_said_to_cover(database: Database, tmp_path: Path) -> None:
    feed = stocks("AAPL")
    text = text_of(
        [{"time": OPENING.isoformat(), "symbol": "AAPL", "price": 1, "size": 1}], ("time", "symbol", "price")
    )
    import_files(database, feed, write(tmp_path / "mine.csv", text), options=CSV)
    add_gap(database, "AAPL", 30)
    add_gap(database, "AAPL", 90)
    done = settle(database, feed, owner="test", covers=(OPENING, OPENING + timedelta(hours=1)))
    assert done.gaps == 1
    assert rows(database, "SELECT state FROM ticks_platform.feed_gap ORDER BY begins_at") == [("repaired",), ("open",)]


def test_candles_of_a_day_whose_other_ticks_are_gone_stay(database: Database, tmp_path: Path) -> None:
    """Only MSFT of the day is imported after retention: AAPL's candles and the day's would shrink."""
    feed = stocks("AAPL", "MSFT")
    import_files(database, feed, write(tmp_path / "first.csv", text_of(trades("AAPL", 720))))
    assert settle(database, feed, owner="test")[1:] == (1, 0, 0)
    before = [rows(database, f"SELECT * FROM {candle} ORDER BY bucket") for candle in CANDLE_NAMES]
    with database.autocommit() as cursor:
        cursor.execute("SELECT drop_chunks('stocks_real_time', older_than => now())")
    import_files(database, feed, write(tmp_path / "second.csv", text_of(trades("MSFT", 360))))
    later = OPENING + timedelta(days=3)
    import_files(database, feed, write(tmp_path / "later.csv", text_of(trades("MSFT", 30, begin=later))))
    done = settle(database, feed, owner="test")
    assert (done.files, done.days, done.left) == (2, 1, 1)
    day = f"bucket < '{later:%Y-%m-%d}'"
    stored = "SELECT * FROM {} WHERE " + day + " ORDER BY bucket"
    assert [rows(database, stored.format(candle)) for candle in CANDLE_NAMES] == before
    assert rows(database, f"SELECT tick_count::int FROM one_day_candle WHERE NOT {day}") == [(30,)]


def test_it_waits_for_a_repair(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticks_platform.ingestion.imports.files._LEASE_INTERVAL", 0.01)
    feed, file = stocks("AAPL"), write(tmp_path / "day.csv", text_of(trades("AAPL", 3)))
    import_files(database, feed, file)
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE ticks_platform.feed_repair_lease SET released_at = NULL, owner = 'a repair', "
            "heartbeat_at = now() - INTERVAL '59 seconds'"
        )
    begin = time.monotonic()
    (done,) = import_files(database, feed, file)
    assert done.was_known
    assert time.monotonic() - begin > 0.1


def test_at_the_end_it_waits_for_what_works_on_the_feed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the second run of a backfill, which imports its days beside the first."""
    monkeypatch.setattr("ticks_platform.ingestion.imports.settle._LEASE_INTERVAL", 0.01)
    feed, file = stocks("AAPL"), write(tmp_path / "day.csv", text_of(trades("AAPL", 60)))
    import_files(database, feed, file)
    add_gap(database, "AAPL", 30)
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE ticks_platform.feed_repair_lease SET released_at = NULL, owner = 'another import', "
            "heartbeat_at = now() - INTERVAL '58 seconds'"
        )
    assert settle(database, feed, owner="test").gaps == 1
    stopping = threading.Event()
    stopping.set()
    import_files(database, feed, write(tmp_path / "more.csv", text_of(trades("AAPL", 61))))
    assert settle(database, feed, owner="test", stopping=stopping) == Settled()


def test_each_import_tells_what_its_own_files_cover(database: Database, tmp_path: Path) -> None:
    """Two runs load a day each, and end one after the other: the first one knows nothing of the file of the second."""
    feed, hours = stocks("AAPL"), [OPENING, OPENING + timedelta(hours=2)]
    imported = []
    for number, begin in enumerate(hours):
        row = {"time": begin.isoformat(), "symbol": "AAPL", "price": 1, "size": 1}
        file = write(tmp_path / f"{number}.csv", text_of([row], ("time", "symbol", "price")))
        imported.append([each.journal_id for each in import_files(database, feed, file, options=CSV)])
    add_gap(database, "AAPL", 30)
    add_gap(database, "AAPL", 150)
    for begin, ids, files in zip(hours, imported, (2, 1), strict=True):
        done = settle(database, feed, owner="test", covers=(begin, begin + timedelta(hours=1)), imported=ids)
        assert (done.files, done.gaps) == (files, 1)
    repaired = (
        "SELECT begins_at, file FROM ticks_platform.feed_repair "
        "JOIN ticks_platform.feed_import USING (journal_id) ORDER BY begins_at"
    )
    assert [(begin, Path(file).name) for begin, file in rows(database, repaired)] == [
        (hours[0], "0.csv"),
        (hours[1], "1.csv"),
    ]
