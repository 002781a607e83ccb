"""Which candles are proven of symbols that come as a part of their market, by Polygon's `*`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

import pytest
from psycopg2.extras import execute_values

from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.ingestion import audit
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.gaps import coverage, gaps
from ticks_platform.ingestion.gaps.coverage import ConfiguredSymbols
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.timescale.candles import proving, reconciliation
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import refresh
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, rows, trade

HOUR = int(time.time()) // 3_600 * 3_600 - 5 * 3_600
"""Begin of an hour that is over."""

POLYGON = PolygonConnector(url=None, api_key=None, options={"market": "stocks"})


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(HOUR + seconds, timezone.utc)


class Tape:
    """The feed `test`, a market that never closes."""

    def __init__(self, database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
        self.database = database
        self._take_lease = take_lease
        self._make_loader = make_loader
        self.asked = AskedSymbols(POLYGON, ["*"])

    def load(self, *times: float, symbols: Iterable[str] = ("AAPL", "NEWCO")) -> None:
        """A trade of each symbol at each time, by an owner that ends."""
        number = time.monotonic_ns()
        frames = [
            frame(*(trade(f"{number} {second}", at=HOUR + second, symbol=symbol) for symbol in symbols))
            for second in times
        ]
        lease = self._take_lease(f"owner {number}")
        self._make_loader(lease, frames, POLYGON.decode, self.asked).run()
        with self.database.transaction() as cursor:
            leases.release(cursor, lease)

    def execute(self, statement: str) -> None:
        with self.database.transaction() as cursor:
            cursor.execute(statement)

    def ask(self, seconds: float, *symbols: str, calendar: str = "always") -> None:
        """What feeds.yaml has from then on."""
        moment = (HOUR + seconds) * 10**9
        with self.database.transaction() as cursor:
            asked = ConfiguredSymbols(int(moment), dict.fromkeys(symbols, calendar))
            coverage.record_symbols(cursor, "test", asked, epoch=1)

    def receive(self, begin: float, end: float | None, symbol: str = "*", ended_by: str | None = None) -> None:
        """A subscription that was confirmed at `begin`."""
        ended_by = None if end is None else ended_by or "disconnected"
        with self.database.transaction() as cursor:
            execute_values(
                cursor,
                "INSERT INTO ticks_platform.feed_coverage "
                "(feed, symbol, begins_at, ends_at, ended_by, epoch, connection) VALUES %s",
                [("test", symbol, at(begin), None if end is None else at(end), ended_by, 1, 1)],
            )

    def prove(self) -> None:
        """What the schedule does, without its pauses."""
        with self.database.transaction() as cursor:
            gaps.update(cursor, "test", now=datetime.now(timezone.utc))
        refresh(self.database)
        with self.database.autocommit() as cursor:
            audit.hours(cursor)
            untils = proving.received_until(cursor, patience=0.5)
            proving.record(cursor, untils, reconciliation.reconcile(cursor))

    def proofs(self, symbol: str = "AAPL", every: str = "1m") -> dict[int, str]:
        """Of each bucket, by its second of the hour."""
        query = f"SELECT bucket, proof FROM proven_candle WHERE every = '{every}' AND symbol = '{symbol}' ORDER BY 1"
        return {round(bucket.timestamp()) - HOUR: proof for bucket, proof in rows(self.database, query)}

    def recorded(self) -> list[Any]:
        return rows(self.database, "SELECT wildcard, symbol FROM ticks_platform.wildcard_symbol ORDER BY 1, 2")


@pytest.fixture
def tape(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Tape:
    found = Tape(database, take_lease, make_loader)
    with database.transaction() as cursor:
        leases.register_feed(cursor, feed="test", provider="polygon", synthetic=True, candles=True)
    return found


def test_each_symbol_is_received_when_its_market_is(tape: Tape) -> None:
    """From the confirmed subscription on, also one that never traded before; not while the feed has a gap."""
    tape.ask(595, "*")
    tape.receive(603, 1_210)
    tape.receive(1_260, None)
    tape.load(60, 605, 660, 1_200, 1_800)
    tape.load(1_860, symbols=["LATER"])
    assert tape.recorded() == [("*", "AAPL"), ("*", "LATER"), ("*", "NEWCO")], "one row each"
    tape.prove()
    found = {60: "gap", 600: "gap", 660: "proven", 1_200: "gap", 1_800: "proven"}
    assert (tape.proofs(), tape.proofs("NEWCO")) == (found, found)
    assert tape.proofs("LATER") == {1_860: "proven"}
    assert tape.proofs(every="1h") == {0: "gap"}, "that of the subscription"
    tape.execute("UPDATE ticks_platform.feed_gap SET state = 'repaired', detail = 'repaired by 0 trades'")
    tape.execute(
        "INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state, journal_id) "
        f"VALUES ('test', '*', 'trades', to_timestamp({HOUR + 1_200}), to_timestamp({HOUR + 1_270}), 'done', "
        "'11111111-1111-1111-1111-111111111111')"
    )
    assert tape.proofs() == found, "as older releases did, which asked a provider for trades of `*`"
    tape.execute(
        "INSERT INTO ticks_platform.feed_import "
        "(journal_id, journal_number, feed, file, format, first_position, epoch) "
        "SELECT journal_id, 7, feed, 'day.csv.gz', 'polygon-flat-file', 0, 1 FROM ticks_platform.feed_repair"
    )
    assert tape.proofs() == found | {1_200: "proven"}
    assert rows(tape.database, "SELECT DISTINCT symbol FROM ticks_platform.feed_symbol") == [("*",)]


def test_a_late_trade_of_the_market_reopens(tape: Tape) -> None:
    tape.ask(-86_400, "*")
    tape.receive(-86_395, None)
    tape.load(60, 1_800)
    tape.prove()
    assert set(tape.proofs().values()) == set(tape.proofs(every="1h").values()) == {"proven"}
    tape.load(65, symbols=["AAPL"])
    assert set(tape.proofs().values()) == set(tape.proofs("NEWCO").values()) == {"not_checked"}
    tape.prove()
    tape.prove()
    assert set(tape.proofs().values()) == set(tape.proofs(every="1h").values()) == {"proven"}


@pytest.mark.full
def test_a_trade_that_is_not_what_was_loaded_makes_the_hour_differ(tape: Tape) -> None:
    tape.ask(-86_400, "*")
    tape.receive(-86_395, None)
    tape.load(60)
    tape.prove()
    tape.execute("UPDATE stocks_real_time SET price = 7 WHERE symbol = 'AAPL'")
    with tape.database.autocommit() as cursor:
        audit.hours(cursor)
    assert tape.proofs() == tape.proofs("NEWCO") == {60: "differs"}


def test_a_subscription_that_is_refused_receives_nothing(tape: Tape) -> None:
    """What is stored of that time came in another way, as by a file."""
    tape.ask(0, "*")
    tape.execute("UPDATE ticks_platform.feed_symbol SET refusal = 'not in your plan'")
    tape.load(60)
    tape.prove()
    assert tape.proofs() == {60: "gap"}


@pytest.mark.parametrize("order", ["by star, then by name", "by name, then by star"])
def test_feeds_yaml_may_change_between_all_and_some(tape: Tape, order: str) -> None:
    times = (60, 605, 665, 1_200)
    ways = ("*", "AAPL") if order == "by star, then by name" else ("AAPL", "*")
    tape.asked = AskedSymbols(POLYGON, ways[:1])
    tape.ask(-86_400, ways[0])
    tape.receive(-86_395, 600, ways[0], "unsubscribed")
    tape.load(*times[:1], symbols=["AAPL"])
    tape.asked.add(ways[1:])
    tape.ask(600, ways[1])
    tape.receive(601, None, ways[1])
    tape.load(*times[1:], symbols=["AAPL"])
    if ways[1] == "*":
        tape.load(660, symbols=["OTHER"])
    tape.prove()
    assert tape.proofs() == {60: "proven", 600: "gap", 660: "proven", 1_200: "proven"}
    assert tape.recorded()[:1] == [("*", "AAPL")], "though its name is known"
    assert tape.proofs("OTHER") == ({660: "proven"} if ways[1] == "*" else {})


def test_what_is_listed_too_is_received_by_either(tape: Tape) -> None:
    """A gap of one is none of the other, but what its own row says is a gap."""
    tape.asked = AskedSymbols(POLYGON, ["*", "AAPL"])
    tape.ask(-86_400, "*", "AAPL")
    tape.receive(-86_395, 100)
    tape.receive(110, None)
    tape.receive(-86_395, 700, "AAPL")
    tape.receive(710, None, "AAPL")
    tape.load(60, 660)
    tape.prove()
    assert tape.proofs() == {60: "proven", 660: "gap"}
    assert tape.proofs("NEWCO") == {60: "gap", 660: "proven"}


def test_a_symbol_of_another_primary_feed_is_received_by_that_one(tape: Tape) -> None:
    """What a secondary feed receives of it is in no candle, and proves none."""
    tape.ask(-86_400, "*")
    tape.receive(-86_395, None)
    tape.load(60)
    tape.execute(
        "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('other', 'polygon', true);"
        "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
        f"VALUES ('other', 'AAPL', to_timestamp({HOUR + 600}), 'always')"
    )
    tape.load(660)
    tape.prove()
    assert tape.proofs() == {60: "proven", 660: "proven"}
    tape.execute("UPDATE ticks_platform.feed SET candles = false WHERE feed = 'test'")
    assert tape.proofs() == {60: "gap", 660: "proven"}
    assert tape.proofs("NEWCO") == {60: "not_checked", 660: "not_checked"}
    tape.execute(
        "UPDATE ticks_platform.feed SET candles = true, candles_changed_at = now() WHERE feed = 'test';"
        "DELETE FROM ticks_platform.feed_symbol WHERE feed = 'other'"
    )
    assert set(tape.proofs("NEWCO").values()) == {"not_checked"}, "until apply_primary_feeds has followed"


def test_symbols_that_cannot_be_recorded_hold_up_no_trades(tape: Tape) -> None:
    """And are recorded once they can."""
    tape.ask(-86_400, "*")
    tape.receive(-86_395, None)
    tape.execute("ALTER TABLE ticks_platform.wildcard_symbol RENAME TO elsewhere")
    tape.load(60)
    assert rows(tape.database, "SELECT count(*)::int FROM stocks_real_time") == [(2,)]
    tape.execute("ALTER TABLE ticks_platform.elsewhere RENAME TO wildcard_symbol")
    assert tape.recorded() == []
    tape.load(120, symbols=["AAPL"])
    assert tape.recorded() == [("*", "AAPL"), ("*", "NEWCO")]
    tape.prove()
    assert set(tape.proofs("NEWCO").values()) == {"proven"}


def test_the_seconds_of_the_first_subscription_are_no_gap_and_not_received(tape: Tape) -> None:
    """Of a symbol by its name as well. A change of its hours begins nothing, nor does what was fetched up to then."""
    tape.asked = AskedSymbols(POLYGON, ["AAPL", "MSFT"])
    tape.ask(655, "AAPL", "MSFT")
    tape.receive(663, None, "AAPL")
    tape.receive(663, None, "MSFT")
    tape.load(664, 724, 1_210, symbols=["AAPL", "MSFT"])
    tape.ask(1_200, "AAPL", "MSFT", calendar="24/7")
    tape.execute(
        "INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state) "
        f"VALUES ('test', 'MSFT', 'trades', to_timestamp({HOUR}), to_timestamp({HOUR + 664}), 'done')"
    )
    tape.prove()
    found = "SELECT symbol, begins_at, ends_at, cause FROM ticks_platform.feed_gap WHERE begins_at < to_timestamp"
    assert rows(tape.database, f"{found}({HOUR + 3_600})") == []
    assert tape.proofs() == {660: "gap", 720: "proven", 1_200: "proven"}
    assert set(tape.proofs("MSFT").values()) == {"proven"}
