"""`subscribe` to feeds over real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

import ticks_platform
from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform.feeds.events import Bar, Quote, Tick
from ticks_platform.feeds.settings import FeedSettings, SettingsError
from ticks_platform.feeds.transport import reconnect
from ticks_platform.subscribing import Change, FrameKey, TradeKey, WindowKey, subscribe
from ticks_platform_tests.support.feeds import KEY, Peer, PeerServer, price, wait_until
from ticks_platform_tests.support.subscribing import Recorder, feed
from ticks_standin import StandIn, StandInSettings


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)


def polygon(url: str) -> FeedSettings:
    return feed(url, "polygon", options={"channels": ["T", "Q", "AM"]}, symbols=["AAPL", "MSFT"])


def serve_bars(*bars: dict[str, object]) -> PeerServer:
    """A Polygon server that sends these minute bars after the authentication."""

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(b'[{"ev":"status","status":"auth_success"}]')
        peer.receive()
        for bar in bars:
            peer.send(
                json.dumps([{"ev": "AM", "sym": "AAPL", "s": 1_700_000_040_000, "e": 1_700_000_100_000} | bar]).encode()
            )
        peer.receive_until_end()

    return PeerServer(serve)


def serve_prices(*frames: bytes) -> PeerServer:
    """A Twelve Data server that sends these frames after the first message."""

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        for frame in frames:
            peer.send(frame)
        peer.receive_until_end()

    return PeerServer(serve)


def test_every_price_that_was_sent_comes_once_and_in_order(stand_in: StandIn) -> None:
    recorder = Recorder()
    with subscribe(feed(stand_in.url("twelve_data", key=None)), recorder) as subscription:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD")
        stand_in.send_exactly(20_000)
        recorder.wait_for(20_000)
    assert subscription.error is None
    sent = stand_in.account().connections[0].price_events_sent()
    assert [(change.row.symbol, change.row.price) for change in recorder.changes] == [
        (event["symbol"], event["price"]) for event in sent
    ]
    assert [change.time for change in recorder.changes] == [
        datetime.fromtimestamp(event["timestamp"], tz=timezone.utc) for event in sent
    ]
    assert all(change.is_addition and isinstance(change.row, Tick) for change in recorder.changes)
    keys = [change.key for change in recorder.changes]
    assert keys == sorted(keys), "numbered in the order of arrival"
    assert len(set(keys)) == 20_000


def test_trades_quotes_and_bars_of_one_connection_come_once_and_in_order(stand_in: StandIn) -> None:
    recorder = Recorder()
    with subscribe(polygon(stand_in.url("polygon")), recorder):
        stand_in.wait_until_subscribed("T.AAPL", "Q.MSFT", "AM.AAPL", "AM.MSFT")
        stand_in.send_exactly(3_000)
        stand_in.send_bars()
        sent = stand_in.account().connections[0].events_sent("T", "Q", "AM")
        wait_until(lambda: sum(change.is_addition for change in recorder.changes) >= len(sent), "all of them")
    kinds = {"T": Tick, "Q": Quote, "AM": Bar}
    additions = [change for change in recorder.changes if change.is_addition]
    assert [(type(change.row), change.row.symbol) for change in additions] == [
        (kinds[event["ev"]], event["sym"]) for event in sent
    ]
    trades = [change for change in additions if isinstance(change.row, Tick)]
    assert [(change.key.trade_id, change.row.price) for change in trades] == [
        (str(event["i"]), event["p"]) for event in sent if event["ev"] == "T"
    ]
    assert all(isinstance(change.key, TradeKey) for change in trades)
    quotes = [change for change in additions if isinstance(change.row, Quote)]
    assert all(isinstance(change.key, FrameKey) for change in quotes)
    assert len({change.key for change in quotes}) == len(quotes) > 0


def test_a_bar_replaces_the_earlier_one_of_its_window() -> None:
    recorder = Recorder()
    bars = serve_bars({"c": 10.0}, {"c": 11.0}, {"c": 11.0}, {"sym": "MSFT", "c": 5.0})
    with bars as server, subscribe(polygon(server.url), recorder):
        wait_until(lambda: any(change.row.symbol == "MSFT" for change in recorder.changes), "the last bar")
    window = WindowKey("AAPL", 1_700_000_040_000_000_000, 1_700_000_100_000_000_000)
    assert [(change.key.symbol, change.row.close, change.is_addition) for change in recorder.changes] == [
        ("AAPL", 10.0, True),
        ("AAPL", 10.0, False),
        ("AAPL", 11.0, True),
        ("MSFT", 5.0, True),
    ], "and the same bar once more is no change"
    assert {change.key for change in recorder.changes[:3]} == {window}
    assert recorder.changes[0].time == datetime(2023, 11, 14, 22, 14, tzinfo=timezone.utc)


def test_a_trade_is_of_the_trading_day_and_not_of_the_utc_day(stand_in: StandIn) -> None:
    recorder = Recorder()
    evening = int(datetime(2026, 1, 6, 0, 30, tzinfo=timezone.utc).timestamp() * 1000)  # 19:30 in New York
    with subscribe(polygon(stand_in.url("polygon")), recorder):
        stand_in.wait_until_subscribed("T.AAPL")
        stand_in.inject(f'[{{"ev":"T","sym":"AAPL","i":"7","x":4,"p":1.5,"s":2,"t":{evening}}}]')
        recorder.wait_for(1)
    assert recorder.changes[0].key == TradeKey("AAPL", "4", "7", date(2026, 1, 5))


@pytest.mark.full
def test_nothing_is_dropped_while_the_subscriber_is_slow(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticks_platform.subscribing.feed.MAX_QUEUED_GROUPS", 1)
    recorder = Recorder()
    go_on = threading.Event()

    def slowly(change: Change) -> None:
        if not recorder.changes:
            go_on.wait(60)
        recorder(change)

    with subscribe(feed(stand_in.url("twelve_data", key=None)), slowly):
        stand_in.wait_until_subscribed("AAPL", "BTC/USD")
        sending = threading.Thread(target=stand_in.send_exactly, args=(80_000, 40.0))
        sending.start()
        time.sleep(1.0)
        assert not recorder.changes
        go_on.set()
        sending.join()
        recorder.wait_for(80_000, 40.0)
    account = stand_in.account()
    assert len(account.connections) == 1
    assert [change.row.price for change in recorder.changes] == [
        event["price"] for event in account.connections[0].price_events_sent()
    ]


def test_what_the_subscriber_raises_ends_the_subscription(stand_in: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    calls = Recorder()

    def fail(change: Change) -> None:
        calls(change)
        raise ZeroDivisionError("of mine")

    subscription = subscribe(feed(stand_in.url("twelve_data", key=None)), fail)
    stand_in.wait_until_subscribed("AAPL", "BTC/USD")
    stand_in.send_exactly(10)
    with pytest.raises(ZeroDivisionError, match="of mine"):
        subscription.wait(60)
    assert isinstance(subscription.error, ZeroDivisionError)
    assert len(calls.changes) == 1
    assert "of mine" in caplog.text
    subscription.close()


def test_leaving_the_block_raises_an_unseen_error(stand_in: StandIn) -> None:
    failed = threading.Event()

    def fail(_change: Change) -> None:
        failed.set()
        raise ZeroDivisionError

    def follow() -> None:
        with subscribe(feed(stand_in.url("twelve_data", key=None)), fail):
            stand_in.wait_until_subscribed("AAPL", "BTC/USD")
            stand_in.send_exactly(1)
            assert failed.wait(60)

    with pytest.raises(ZeroDivisionError):
        follow()


def test_after_close_there_are_no_more_calls_and_the_connection_is_gone(stand_in: StandIn) -> None:
    recorder = Recorder()
    subscription = subscribe(feed(stand_in.url("twelve_data", key=None)), recorder)
    stand_in.wait_until_subscribed("AAPL", "BTC/USD")
    stand_in.send_exactly(100)
    subscription.close()
    subscription.close()
    count = len(recorder.changes)
    wait_until(lambda: stand_in.account().connections[0].ending is not None, "the connection is closed")
    assert len(recorder.changes) == count
    assert subscription.wait(0)
    assert subscription.error is None


def test_a_subscriber_may_close_its_own_subscription(stand_in: StandIn) -> None:
    recorder = Recorder()

    def once(change: Change) -> None:
        recorder(change)
        subscription.close()

    subscription = subscribe(feed(stand_in.url("twelve_data", key=None)), once)
    stand_in.wait_until_subscribed("AAPL", "BTC/USD")
    stand_in.send_exactly(10)
    assert subscription.wait(60)
    assert len(recorder.changes) == 1


def test_a_frame_that_cannot_be_decoded_is_logged_and_blocks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    with serve_prices(b"{nonsense", price(price=1.0)) as server, subscribe(feed(server.url), recorder):
        recorder.wait_for(1)
    assert recorder.changes[0].key == FrameKey(2, 0)
    assert "malformed frame" in caplog.text


@pytest.mark.parametrize("provider", ["twelve_data", "polygon"])
def test_a_refused_key_is_raised_in_the_caller(provider: str) -> None:
    with StandIn(StandInSettings(rate=0, keys=frozenset({"another"}))) as server, pytest.raises(FeedRefusedError):
        subscribe(feed(server.url(provider, key=None), provider), Recorder())


def test_a_refusal_that_comes_later_is_the_handles_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.2)
    refusal = json.dumps({"status": "error", "code": 401, "message": "your API key is wrong"}).encode()

    def serve(peer: Peer) -> None:
        if server.accepted > 1:
            peer.answer("401 Unauthorized", refusal)
            return
        peer.upgrade()
        peer.receive()
        peer.send(price())
        peer.send(refusal)
        peer.receive_until_end()

    recorder = Recorder()
    with PeerServer(serve) as server:
        subscription = subscribe(feed(server.url), recorder)
        with pytest.raises(FeedRefusedError, match="API key"):
            subscription.wait(60)
        assert server.accepted >= 2
    assert len(recorder.changes) == 1, "what came before it was handed on"


def test_no_key_and_no_such_feed_are_raised_in_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    with pytest.raises(SettingsError, match="TEST_KEY"):
        subscribe(feed("live"), Recorder())
    file = tmp_path / "feeds.yaml"
    file.write_text("feeds: {mine: {provider: twelve_data, endpoint: stand-in, symbols: [AAPL]}}", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"no feed 'yours'.*mine.*stock_quotes"):
        subscribe("yours", Recorder(), feeds_file=file)


@pytest.mark.parametrize("provider", ["twelve_data", "polygon"])
def test_a_feed_by_name_gets_a_stand_in_of_its_own(provider: str, tmp_path: Path) -> None:
    file = tmp_path / "feeds.yaml"
    file.write_text(
        f"feeds: {{mine: {{provider: {provider}, endpoint: stand-in, symbols: [AAPL]}}}}\nstand_in: {{rate: 500}}",
        encoding="utf-8",
    )
    recorder = Recorder()
    with subscribe("mine", recorder, feeds_file=file):
        wait_until(lambda: len(recorder.changes) >= 20, "ticks")
    assert {change.row.symbol for change in recorder.changes} == {"AAPL"}


def test_a_stand_in_for_a_provider_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(SettingsError, match="does not support provider"):
        subscribe(feed("stand-in", "examples.coinbase.Coinbase", symbols=["BTC-USD"]), Recorder())


def test_importing_the_package_imports_no_more_than_itself() -> None:
    code = "import sys, ticks_platform; print([name for name in sys.modules if name.startswith('ticks_platform')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['ticks_platform']"
    assert ticks_platform.subscribe is subscribe
