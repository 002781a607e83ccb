"""Symbols that nobody asked for are rejected; those of earlier, and of wildcards, are not."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.ingestion.journal.file import FrameGroup, frame_size
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.rows.decode import DecodedBatch, decode_groups
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import frame, price, trade

SYMBOL = "x](http://e/p.png) ![y"
TWELVE_DATA = TwelveDataConnector(url="ws://h", api_key=None)


def polygon(market: str = "stocks") -> PolygonConnector:
    return PolygonConnector(url=None, api_key=None, options={"market": market})


def decoded(frames: Iterable[bytes], decode: object = TWELVE_DATA.decode) -> DecodedBatch:
    given = list(frames)
    now = time.time_ns()
    end = sum(map(frame_size, given))
    group = FrameGroup(position=0, end=end, epoch=1, connection=1, received_at=[now] * len(given), frames=given)
    return decode_groups([group], decode)  # type: ignore[arg-type]


def test_others_are_rejected_with_their_bytes_and_a_reason() -> None:
    asked = AskedSymbols(TWELVE_DATA, ["AAPL", "msft"])
    frames = [price("AAPL"), price(SYMBOL), price("MSFT")]
    batch = asked.reject_others(decoded(frames))
    assert batch.ticks.column("symbol") == ["AAPL", "MSFT"]
    (rejected,) = batch.rejected
    assert rejected.raw == frames[1]
    assert rejected.reason.endswith("is not among the feed's symbols; if it is wanted, add it to them in feeds.yaml")
    # The account is the same as before: each event once.
    assert int(batch.events_of.sum()) == 3


def test_a_symbol_that_was_removed_stays_known() -> None:
    asked = AskedSymbols(TWELVE_DATA, ["AAPL", "MSFT"])
    asked.add(["AAPL"])
    assert asked.reject_others(decoded([price("MSFT")])).rejected == []


@pytest.mark.parametrize(
    ("market", "good", "bad"),
    [
        ("stocks", "BRK.A", SYMBOL),
        ("options", "O:SPY251219C00650000", f"O:{SYMBOL}"),
        ("crypto", "BTC-USD", f"{SYMBOL}-USD"),
    ],
)
def test_a_wildcard_stands_for_names_of_its_market(market: str, good: str, bad: str) -> None:
    asked, connector = AskedSymbols(polygon(market), ["*"]), polygon(market)
    kind, name = ("XT", "pair") if market == "crypto" else ("T", "sym")
    now = time.time()
    sent = []
    for symbol in (good, bad):
        event = trade(at=now, symbol=symbol)
        event["ev"] = kind
        event[name] = symbol
        sent.append(event)
    batch = asked.reject_others(decoded([frame(*sent)], connector.decode))
    assert batch.ticks.column("symbol") == [good]
    assert len(batch.rejected) == 1


def test_what_the_database_knows_of_earlier(database: Database) -> None:
    asked = AskedSymbols(TWELVE_DATA, ["AAPL"])
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stocks', 'polygon', true)")
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, wanted_until, calendar) "
            "VALUES ('stocks', 'MSFT', now() - interval '2 days', now() - interval '1 day', 'always')"
        )
        assert asked.try_earlier(cursor, "stocks") is None
    batch = asked.reject_others(decoded([price("MSFT"), price("IBM")]))
    assert batch.ticks.column("symbol") == ["MSFT"]


def test_what_can_be_read_of_earlier_is_known_while_coverage_cannot_be_read(database: Database) -> None:
    asked = AskedSymbols(TWELVE_DATA, ["AAPL"])
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stocks', 'polygon', true)")
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, wanted_until, calendar) "
            "VALUES ('stocks', 'MSFT', now() - interval '2 days', now() - interval '1 day', 'always')"
        )
        cursor.execute(
            "INSERT INTO ticks_platform.feed_coverage (feed, symbol, epoch, connection, begins_at) "
            "VALUES ('stocks', 'IBM', 1, 1, now())"
        )
        cursor.execute("ALTER TABLE ticks_platform.feed_coverage RENAME TO elsewhere")
        assert "feed_coverage" in str(asked.try_earlier(cursor, "stocks"))
        sent = decoded([price("MSFT"), price("IBM")])
        assert asked.reject_others(sent).ticks.column("symbol") == ["MSFT"]
        cursor.execute("ALTER TABLE ticks_platform.elsewhere RENAME TO feed_coverage")
        assert asked.try_earlier(cursor, "stocks") is None
    assert asked.reject_others(sent).ticks.column("symbol") == ["MSFT", "IBM"]
