"""Polygon.io's protocol over real sockets, and the account of what was sent."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import websocket

from ticks_platform_tests.support.timing import within
from ticks_standin import StandIn, StandInError, StandInSettings

Connect = Callable[..., Any]


def on_command(**settings: Any) -> StandIn:
    return StandIn(StandInSettings(**{"rate": 0, "record": True, **settings}))


def polygon(stand_in: StandIn, market: str = "stocks") -> str:
    return stand_in.url("polygon", market=market)


def test_greeting_comes_first_and_data_only_after_subscribing(connect_polygon: Connect) -> None:
    with StandIn(StandInSettings(rate=1_000)) as stand_in:
        client = connect_polygon(polygon(stand_in)).enter()
        client.socket.settimeout(0.2)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.hear()


def test_pipelined_messages_are_taken_in_order(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        client = connect_polygon(polygon(stand_in))
        client.send("auth", "demo")
        client.send("subscribe", "T.AAPL")
        heard = [client.hear_statuses()[0][0] for _ in range(3)]
        assert heard == ["connected", "auth_success", "success"]


def test_a_wrong_key_ends_the_connection_without_a_close_frame(connect_polygon: Connect) -> None:
    with on_command(keys=["good"]) as stand_in:
        client = connect_polygon(polygon(stand_in))
        client.send("auth", "bad")
        assert [client.hear_statuses()[0][0] for _ in range(2)] == ["connected", "auth_failed"]
        assert client.hear_end() is None
        connect_polygon(polygon(stand_in)).enter("T.AAPL", key="good")


def test_auth_timeout(connect_polygon: Connect) -> None:
    with on_command(polygon_auth_timeout_s=1.0) as stand_in:
        client, prompt = connect_polygon(polygon(stand_in)), connect_polygon(polygon(stand_in)).enter("T.AAPL")
        assert client.hear_statuses() == [("connected", "Connected Successfully")]
        assert client.hear_statuses() == [("auth_timeout", "No authentication request received.")]
        assert client.hear_end() is None
        stand_in.send_exactly(1)
        assert prompt.hear_data(1, "T")


def test_what_is_sent_is_what_is_received(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        client = connect_polygon(polygon(stand_in)).enter("T.AAPL", "Q.AAPL", "T.MSFT")
        stand_in.send_exactly(3_000)
        events = client.hear_data(3_000, "T", "Q")
        (account,) = stand_in.account().connections
        assert client.heard == account.sent
        assert account.provider == "polygon"
        assert account.subscribed == ["T.AAPL", "Q.AAPL", "T.MSFT"]
        assert account.events == Counter(f"{event['ev']}.{event['sym']}" for event in events)
        assert account.symbols == Counter(event["sym"] for event in events)
        assert account.price_events == stand_in.account().price_events == 3_000
        assert account.frames == len(client.heard) < 1_500
        assert account.events_sent("T", "Q") == events
        assert account.odd == {}


def test_each_client_gets_its_channels(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        one = connect_polygon(polygon(stand_in)).enter("T.AAPL")
        every = connect_polygon(polygon(stand_in)).enter("T.*", "T.AAPL")
        coins = connect_polygon(polygon(stand_in, "crypto")).enter("XT.BTC-USD")
        stand_in.send_exactly(500)
        first, second, third = stand_in.account().connections
        assert first.events["T.AAPL"] == second.events["T.AAPL"]
        assert set(first.events) == {"T.AAPL"}
        assert len(second.events) > 10
        assert set(third.events) == {"XT.BTC-USD"}
        assert second.price_events + third.price_events == 500
        for client, account in ((one, first), (every, second), (coins, third)):
            client.hear_data(account.price_events, "T", "XT")


def test_both_providers_at_once(connect: Connect, connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        prices = connect(stand_in.url())
        prices.act("subscribe", "AAPL")
        trades = connect_polygon(polygon(stand_in)).enter("T.AAPL")
        stand_in.wait_until_subscribed("AAPL", "T.AAPL")
        stand_in.send_exactly(400)
        first, second = stand_in.account().connections
        assert prices.hear_prices(first.price_events)
        assert trades.hear_data(second.price_events, "T")
        assert stand_in.account().events == {
            "price.AAPL": first.price_events,
            "T.AAPL": second.price_events,
        }
        assert first.price_events + second.price_events == 400


def test_bars_are_those_of_the_trades(connect_polygon: Connect) -> None:
    with on_command(polygon_fractional_share=0.3, polygon_tape="plain") as stand_in:
        client = connect_polygon(polygon(stand_in)).enter("T.AAPL", "T.MSFT", "A.AAPL", "A.MSFT", "AM.AAPL", "AM.MSFT")
        second = int(time.time())
        for _ in range(4):
            stand_in.send_exactly(300)
            time.sleep(max(0.3, second + 1.05 - time.time()))  # so that they lie in two seconds at least
        stand_in.send_bars()
        trades: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
        bars: dict[tuple[str, int, str], dict[str, Any]] = {}
        (account,) = stand_in.account().connections
        assert len(account.events_sent("T")) == 1_200
        for event in account.events_sent("T", "A", "AM"):
            if event["ev"] == "T":
                for channel, length in (("A", 1_000), ("AM", 60_000)):
                    trades[event["sym"], event["t"] // length * length, channel].append(event)
            else:
                bars[event["sym"], event["s"], event["ev"]] = event
        assert bars.keys() == trades.keys()
        assert len(bars) >= 6
        for key, bar in bars.items():
            of_bar = trades[key]
            prices = [trade["p"] for trade in of_bar]
            assert (bar["o"], bar["c"], bar["h"], bar["l"]) == (prices[0], prices[-1], max(prices), min(prices))
            assert Decimal(bar["dv"]) == sum(Decimal(trade["ds"]) for trade in of_bar)
        client.hear_data(len(account.events_sent("A", "AM")), "A", "AM")


def test_second_bars_come_by_themselves(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        client = connect_polygon(polygon(stand_in)).enter("A.AAPL")

        def age() -> float:
            stand_in.send_exactly(50)
            (bar,) = client.hear_data(1, "A")
            seconds = time.time() - bar["e"] / 1_000
            assert bar["sym"] == "AAPL"
            assert seconds >= 0
            return float(seconds)

        within(1.5, age)


@pytest.mark.parametrize(
    ("ending", "victim", "code"), [("1008", "old", 1008), ("abort", "old", None), ("1008", "new", 1008)]
)
def test_connection_cap(connect_polygon: Connect, ending: str, victim: str, code: int | None) -> None:
    options = {"polygon_cap_ending": ending, "polygon_cap_victim": victim}
    with on_command(max_connections=1, **options) as stand_in:
        elsewhere = connect_polygon(polygon(stand_in, "crypto")).enter("XT.BTC-USD")
        stranger = connect_polygon(polygon(stand_in)).enter("T.AAPL", key="other")
        old = connect_polygon(polygon(stand_in)).enter("T.AAPL")
        idle = connect_polygon(polygon(stand_in)).enter()
        new = connect_polygon(polygon(stand_in)).enter("T.AAPL")
        ended, stays = (old, new) if victim == "old" else (new, old)
        ((status, text),) = ended.hear_statuses()
        assert status == "max_connections"
        assert text.startswith("Maximum number of websocket connections exceeded.")
        assert ended.hear_end() == code
        stand_in.send_exactly(100)
        for client, channel in ((stays, "T"), (stranger, "T"), (elsewhere, "XT")):
            assert {event["ev"] for event in client.hear_events()} == {channel}
        idle.send("unsubscribe", "T.AAPL")
        assert idle.hear_statuses()[0][0] == "success"


def test_slow_consumers_are_told_and_dropped(connect_polygon: Connect) -> None:
    settings = StandInSettings(rate=50_000, slow_consumer_bytes=100_000, record=True)
    with StandIn(settings) as stand_in:
        client = connect_polygon(polygon(stand_in)).enter("T.AAPL")
        deadline = time.monotonic() + 60
        # It reads again as soon as it was told: what its system has not taken in two seconds it never gets.
        while b"force_disconnect" not in stand_in.account().connections[0].sent[-1]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert client.hear_end() is None
        account = stand_in.account().connections[0]
        assert account.ending == "aborted"
        assert client.heard == account.sent[: len(client.heard)]
        assert b"slow_consumer" in account.sent[-2]
        assert b"force_disconnect" in account.sent[-1]
        assert b"force_disconnect" in client.heard[-1], "what it had left to read came before the end"


def test_unknown_markets_and_providers(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        with pytest.raises(KeyError):
            stand_in.url("polygon", market="bonds")
        with pytest.raises(KeyError):
            stand_in.url("another")
        with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
            connect_polygon(stand_in.http_url.replace("http", "ws") + "/bonds")
        with pytest.raises(StandInError, match="nobody subscribed"):
            stand_in.wait_until_subscribed("T.AAPL", timeout_s=0.01)


def test_pings_are_answered_and_silence_is_no_reason_to_drop(connect_polygon: Connect) -> None:
    with on_command(idle_timeout_s=0.1) as stand_in:
        client = connect_polygon(polygon(stand_in)).enter("T.AAPL")
        time.sleep(0.2)
        client.socket.ping("x")
        assert client.socket.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"x")


def test_a_halt(connect_polygon: Connect) -> None:
    """Trading stops, of that symbol alone. Channel LULD says so, but only of symbols that are listed on Nasdaq."""
    with on_command(history_events=1_000) as stand_in:
        client = connect_polygon(polygon(stand_in)).enter("T.AAPL", "T.JPM", "LULD.AAPL", "LULD.JPM")
        before = time.time_ns()
        stand_in.halt("AAPL")
        (halt,) = client.hear_data(1, "LULD")
        assert (halt["T"], halt["i"], halt["z"]) == ("AAPL", [17], 3)
        assert before <= halt["t"] <= time.time_ns()
        stand_in.send_exactly(20)
        assert {trade["sym"] for trade in client.hear_data(20, "T")} == {"JPM"}
        stand_in.halt("AAPL", resume=True)
        stand_in.halt("JPM")
        (resumption,) = client.hear_data(1, "LULD")
        assert (resumption["T"], resumption["i"]) == ("AAPL", [18])
        assert resumption["q"] > halt["q"]
        stand_in.send_exactly(20)
        assert {trade["sym"] for trade in client.hear_data(20, "T")} == {"AAPL"}
        with pytest.raises(StandInError, match="no stock"):
            stand_in.halt("BTC/USD")
