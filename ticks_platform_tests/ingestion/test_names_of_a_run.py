"""Names of whole runs: one in every table, however feeds.yaml spells it, and one primary feed of each."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ticks_platform.feeds.events import Tick
from ticks_platform.feeds.settings import FeedSettings, SettingsError, load_settings
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale import renames
from ticks_platform.timescale.database import Database
from ticks_platform_tests.feeds.test_coinbase import frame, subscriptions
from ticks_platform_tests.support.candles import refresh
from ticks_platform_tests.support.feeds import Peer, PeerServer
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import KEY, add_gap, close_gaps, minutes_ago, repair
from ticks_standin import StandIn, StandInSettings

pytestmark = pytest.mark.full

SPELLED: dict[str, dict[str, str]] = {
    "stocks": {
        "ry:nyse": "RY:NYSE",
        "RY:xtse": "RY:TSX",
        "vod : lse": "VOD:LSE",
        "aapl": "AAPL",
        "btc/usd:coinbase pro": "BTC/USD:Coinbase Pro",
        "BTC/USD:binance": "BTC/USD:Binance",
    },
    "crypto": {"X:BTC-USD": "BTC-USD", "eth/usd": "ETH-USD"},
    "forex": {"c:eurusd": "EUR/USD", "usd-jpy": "USD/JPY"},
}
"""What feeds.yaml calls the symbols of a market, and their names. Stocks are Twelve Data's."""

PATIENCE = 60.0
"""Seconds; only failures take this long."""


def feed_of(stand_in: StandIn, market: str) -> FeedSettings:
    provider = "twelve_data" if market == "stocks" else "polygon"
    return FeedSettings.model_validate(
        {
            "name": "names",
            "provider": provider,
            "options": {} if market == "stocks" else {"market": market},
            "endpoint": stand_in.url(provider, key=None, market=market),
            "synthetic_endpoint": True,
            "api_key_env": KEY,
            "symbols": list(SPELLED[market]),
            "repair": {"delay_seconds": 0, "requests_per_minute": 1000, "requests_per_day": 1000},
        }
    )


def run_of(feed: FeedSettings, database: Database, folder: Path) -> Ingestion:
    journal = folder / f"{feed.name}.sqlite3"
    return Ingestion(feed=feed, connector=feed.connector(), database=database, owner=feed.name, journal_file=journal)


def wait_until_loaded(ingestion: Ingestion, events: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while ingestion.progress().loaded < events:
        assert time.monotonic() < deadline, f"{ingestion.progress()}, of {events}"
        ingestion.wait(0.01)


@pytest.mark.parametrize("market", SPELLED)
def test_a_symbol_has_one_name_in_every_table(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, market: str
) -> None:
    """In ticks, candles, channels, coverage, gaps and repairs; each listing's prices are its own."""
    monkeypatch.setenv(KEY, "demo")
    names = set(SPELLED[market].values())
    with StandIn(StandInSettings(rate=0, history_events=50_000, polygon_tape="plain")) as stand_in:
        feed = feed_of(stand_in, market)
        for _ in range(2):  # between two runs nothing is received
            before = len(stand_in.made().events)
            with run_of(feed, database, tmp_path) as ingestion:
                stand_in.wait_until_subscribed(*channels_of(feed), timeout_s=PATIENCE)
                stand_in.send_exactly(30 * len(names), timeout_s=PATIENCE)
                wait_until_loaded(ingestion, len(stand_in.made().events) - before)
        expected = prices_of(feed, stand_in)
        assert set(expected) == names
        assert stored_prices(database) == expected
        with database.transaction() as cursor:
            gaps.update(cursor, feed.name, now=datetime.now(timezone.utc))
        assert symbols_in(database, "ticks_platform.feed_gap") == names

        stand_in.trade_unheard(200 * len(names), minutes_ago(9), minutes_ago(6))
        for name in names:
            add_gap(database, feed, name, minutes_ago(8), minutes_ago(7))
        repair(database, feed, tmp_path)
        assert close_gaps(database, feed).repaired >= len(names)
    refresh(database)
    assert unbalanced(database) == []
    with database.transaction() as cursor:
        tables = {table.name: table.sql for table in renames.tables(cursor)}
    found = {name: symbols_in(database, table) for name, table in tables.items()}
    fetched = "stocks_real_time" if market == "crypto" else "stock_aggregates"
    for table in (fetched, "feed_repair", "feed_coverage", "feed_symbol"):
        assert found[table] == names, table
    assert {table: others for table, those in found.items() if (others := those - names)} == {}
    assert symbols_in(database, "one_minute_candle") == names
    channels = {channel for (channel,) in rows(database, "SELECT channel FROM ticks_platform.feed_channel")}
    assert channels == channels_of(feed)


def channels_of(feed: FeedSettings) -> set[str]:
    connector = feed.keyless_connector()
    return {channel for symbol in feed.symbol_names() for channel in connector.channels(symbol)}


def symbols_in(database: Database, table: str) -> set[str]:
    return {name for (name,) in rows(database, f"SELECT DISTINCT symbol FROM {table} WHERE symbol <> ''")}


def prices_of(feed: FeedSettings, stand_in: StandIn) -> dict[str, list[float]]:
    """The prices that the market made, in order, by the name that a listing has."""
    decode, found = feed.decoder(), {}
    bare = {name: name.partition(":")[0] for name in SPELLED["stocks"].values()}
    for event in stand_in.made(payloads=True).events:
        if feed.provider == "twelve_data":
            name = event.listing if event.listing in bare else event.symbol
            price = event.decoded()["price"]
        else:
            (tick,) = decode(b"[" + event.payload + b"]")
            assert isinstance(tick, Tick)
            name, price = tick.symbol, tick.price
        found.setdefault(name, []).append(price)
    return found


def stored_prices(database: Database) -> dict[str, list[float]]:
    query = "SELECT symbol, array_agg(price ORDER BY tick_id) FROM stocks_real_time GROUP BY symbol"
    return {symbol: list(prices) for symbol, prices in rows(database, query)}


FIVE = """
feeds:
  tape: {{provider: polygon, endpoint: '{stocks}', {live}, candles: {tape}, symbols: [AAPL, MSFT]}}
  stocks: {{provider: twelve_data, endpoint: '{twelve}', {live}, candles: {copies}, symbols: [aapl, msft]}}
  listings: {{provider: twelve_data, endpoint: '{twelve}', {live}, symbols: ['ry:nyse', 'RY:TSX', 'BTC/USD:Binance']}}
  coins: {{provider: polygon, endpoint: '{crypto}', {live}, options: {{market: crypto}}, symbols: [X:BTC-USD, ETH-USD]}}
  exchange:
    {{provider: coinbase, endpoint: '{coinbase}', synthetic_endpoint: true, candles: {copies}, symbols: [btc/usd]}}
"""


def coinbase(peer: Peer) -> None:
    """Coinbase, with forty trades of what is asked for."""
    peer.upgrade()
    while True:
        _, payload = peer.receive()
        if not payload.startswith(b"{"):
            peer.send(payload, 0x8)
            return
        (product,) = json.loads(payload)["product_ids"]
        peer.send(subscriptions(product))
        for number in range(40):
            at = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
            peer.send(frame(product_id=product, trade_id=100 + number, price=str(90_000 + number), time=at))


def test_five_feeds_of_three_providers_have_one_primary_of_each_symbol(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused as long as two make the same candles, with both named; then all stream, and each candle is of one."""
    monkeypatch.setenv(KEY, "demo")
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path / "state"))
    settings = StandInSettings(rate=0, history_events=50_000, polygon_tape="plain", max_connections=8)
    with StandIn(settings) as stand_in, PeerServer(coinbase) as exchange, ExitStack() as stack:

        def load(*, copies: bool, tape: bool = True) -> tuple[FeedSettings, ...]:
            text = FIVE.format(
                stocks=stand_in.url("polygon", key=None),
                crypto=stand_in.url("polygon", key=None, market="crypto"),
                twelve=stand_in.url("twelve_data", key=None),
                coinbase=exchange.url,
                live=f"api_key_env: {KEY}, synthetic_endpoint: true",
                copies=str(copies).lower(),
                tape=str(tape).lower(),
            )
            file = tmp_path / f"feeds{copies}{tape}.yaml"
            file.write_text(text, encoding="utf-8")
            return load_settings(file).feeds

        with pytest.raises(SettingsError, match="feeds 'tape' and 'stocks' would both make the candles of AAPL, MSFT"):
            load(copies=True)
        with pytest.raises(SettingsError, match="feeds 'coins' and 'exchange' would both make the candles of BTC-USD"):
            load(copies=True, tape=False)
        feeds = {feed.name: feed for feed in load(copies=False)}
        running = {name: stack.enter_context(run_of(feed, database, tmp_path)) for name, feed in feeds.items()}
        deadline = time.monotonic() + PATIENCE
        channels = "SELECT count(*)::int FROM ticks_platform.feed_channel WHERE state = 'subscribed'"
        while rows(database, channels) != [(sum(len(channels_of(feed)) for feed in feeds.values()),)]:
            assert time.monotonic() < deadline, rows(database, channels)
            time.sleep(0.05)
        stand_in.send_exactly(900, timeout_s=PATIENCE)
        sent = len(stand_in.made().events) + 40
        deadline = time.monotonic() + PATIENCE
        while sum(each.progress().loaded for each in running.values()) < sent:
            assert time.monotonic() < deadline, f"{[each.progress() for each in running.values()]} of {sent}"
            time.sleep(0.05)
    refresh(database)
    makers = rows(
        database,
        "SELECT symbol, array_agg(DISTINCT feed ORDER BY feed), "
        "array_agg(DISTINCT feed) FILTER (WHERE coalesce(updates, 0) & 16 = 0) "
        "FROM stocks_real_time GROUP BY symbol ORDER BY symbol",
    )
    assert makers == [
        ("AAPL", ["stocks", "tape"], ["tape"]),
        ("BTC-USD", ["coins", "exchange"], ["coins"]),
        ("BTC/USD:Binance", ["listings"], ["listings"]),
        ("ETH-USD", ["coins"], ["coins"]),
        ("MSFT", ["stocks", "tape"], ["tape"]),
        ("RY:NYSE", ["listings"], ["listings"]),
        ("RY:TSX", ["listings"], ["listings"]),
    ]
    by_hand = rows(
        database,
        "SELECT time_bucket('1 minute', time), symbol, first(price, tick_id), max(price), min(price), "
        "last(price, tick_id), count(*) FROM stocks_real_time WHERE feed IN ('tape', 'listings', 'coins') "
        "GROUP BY 1, 2 ORDER BY 2, 1",
    )
    query = "SELECT bucket, symbol, open, high, low, close, price_count FROM one_minute_candle WHERE open IS NOT NULL"
    assert rows(database, f"{query} ORDER BY symbol, bucket") == by_hand
    assert unbalanced(database) == []
