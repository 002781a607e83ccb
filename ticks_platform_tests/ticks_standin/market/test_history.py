"""The market that goes on by itself, and the account of what was made and not delivered."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pydantic
import pytest
from massive import RESTClient

from ticks_standin import StandIn, StandInError, StandInProcess, StandInSettings, StreamFaults
from ticks_standin.market.events import Event
from ticks_standin.market.history import History

Connect = Callable[..., Any]


def on_command(**settings: Any) -> StandIn:
    return StandIn(StandInSettings(**{"rate": 0, "record": True, "history_events": 10_000, **settings}))


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["i"] for event in events]


def test_the_market_goes_on_while_nobody_listens(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        first = connect_polygon(stand_in.url("polygon")).enter("T.AAPL", "T.MSFT")
        stand_in.send_exactly(200)
        heard = ids(first.hear_data(200, "T"))
        stand_in.drop_connections()
        stand_in.send_exactly(50)
        clients = [connect_polygon(stand_in.url("polygon")).enter("T.AAPL", "T.MSFT") for _ in range(2)]
        stand_in.send_exactly(100)
        both = [ids(client.hear_data(100, "T")) for client in clients]

        made = stand_in.made(payloads=True)
        assert [event.number for event in made.events] == list(range(1, 351))
        assert [event.sent_on for event in made.events] == [[1]] * 200 + [[]] * 50 + [[2, 3]] * 100
        assert both[0] == both[1], "two clients get the same events"
        in_order = [event.decoded()["i"] for event in made.events]
        assert in_order[:200] == heard
        assert in_order[250:] == both[0]

        lost = made.undelivered()
        assert {each.name for each in lost} == {"T.AAPL", "T.MSFT"}
        assert sorted(number for each in lost for number in each.numbers) == list(range(201, 251))
        for each in lost:
            mine = [event for event in made.events if event.name == each.name]
            unsent = [event.made_ms for event in mine if not event.sent_on]
            assert (each.first_ms, each.last_ms) == (unsent[0], unsent[-1])
            assert each.after_ms == [event.made_ms for event in mine if event.sent_on == [1]][-1]
            assert each.before_ms == next(event.made_ms for event in mine if event.sent_on == [2, 3])
        assert {number for each in made.undelivered({1}) for number in each.numbers} == set(range(201, 351))

        client = RESTClient("demo", base=stand_in.http_url)
        served = [trade.id for symbol in ("AAPL", "MSFT") for trade in client.list_trades(symbol, limit=37)]
        assert sorted(served) == sorted(in_order), "REST has what was never received"


def test_what_was_sent_is_what_was_received_over_cuts_in_the_flow(connect_polygon: Connect) -> None:
    received: list[str] = []
    with on_command(rate=1_000) as stand_in:
        for cut in (stand_in.drop_connections, lambda: stand_in.close_connections(1011), stand_in.drop_connections):
            client = connect_polygon(stand_in.url("polygon")).enter("T.AAPL", "T.MSFT")
            while len(client.heard) < 40:
                client.hear_events()
            cutting = threading.Thread(target=cut)
            cutting.start()
            client.hear_end()
            client.socket.shutdown()
            cutting.join()
            received += [event["i"] for frame in client.heard for event in json.loads(frame) if event["ev"] == "T"]
            await_missed(stand_in)
        made = stand_in.made(payloads=True)
        assert [event.decoded()["i"] for event in made.events if event.sent_on] == received
        assert {each.name for each in made.undelivered()} == {"T.AAPL", "T.MSFT"}


def await_missed(stand_in: StandIn) -> None:
    """Wait until the newest event of each channel was sent to nobody."""
    deadline = time.monotonic() + 60
    while any(newest.sent_on for newest in {event.name: event for event in stand_in.made().events}.values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_rate_is_held_without_anybody() -> None:
    with on_command(rate=2_000, traded={"price.EUR/USD"}) as stand_in:
        deadline = time.monotonic() + 60
        while len(stand_in.made("EUR/USD").events) < 200:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert stand_in.account().frames == 0


FAULTS: dict[str, tuple[Callable[[StandIn], Any], Callable[[StandIn], Any]]] = {
    "mute": (lambda standin: standin.go_mute(), lambda standin: standin.unmute()),
    "one mute": (lambda standin: standin.go_mute(1), lambda standin: standin.unmute(1)),
    "frozen": (lambda standin: standin.freeze(), lambda standin: standin.thaw()),
    "silent symbol": (lambda standin: standin.silence("AAPL"), lambda standin: standin.unsilence()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_fault_swallows_is_made_and_undelivered(connect: Connect, fault: str) -> None:
    begin, end = FAULTS[fault]
    with on_command() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        stand_in.send_exactly(20)
        begin(stand_in)
        stand_in.send_exactly(30)
        end(stand_in)
        stand_in.send_exactly(10)
        prices = [event["price"] for event in client.hear_prices(30)]
        made = stand_in.made("price.AAPL", payloads=True)
        assert [event.decoded()["price"] for event in made.events if event.sent_on] == prices
        (lost,) = made.undelivered()
        assert lost.numbers == list(range(21, 51))


def test_events_that_are_sent_late_twice_or_mixed_up_are_delivered(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        how = StreamFaults(
            duplicate=0.2,
            reorder_across=0.3,
            reorder_within=0.5,
            malformed=0.1,
            malformed_kinds=("null_field", "empty"),
        )
        stand_in.set_faults(how)
        stand_in.send_exactly(500)
        (account,) = stand_in.account().connections
        assert account.odd.keys() >= {"duplicate", "reordered", "malformed"}
        assert stand_in.made().undelivered() == []


def test_the_tape_is_kept_too_and_goes_on(connect_polygon: Connect) -> None:
    with on_command(load_symbols=20) as stand_in:
        client = connect_polygon(stand_in.url("polygon")).enter("T.*")
        stand_in.send_tape(300)
        heard = client.hear_data(300, "T")
        stand_in.drop_connections()
        stand_in.send_tape(40)
        made = stand_in.made(payloads=True).events
        assert [event.decoded() for event in made[:300]] == heard
        assert [event.sent_on for event in made] == [[1]] * 300 + [[]] * 40
        served = list(RESTClient("demo", base=stand_in.http_url).list_trades("A", order="asc"))
        mine = [event.decoded() for event in made if event.name == "T.A"]
        assert [(trade.id, trade.price, trade.decimal_size) for trade in served] == [
            (event["i"], event["p"], event["ds"]) for event in mine
        ]


def test_a_process_tells_the_same() -> None:
    settings = StandInSettings(rate=0, history_events=1_000, traded=["T.AAPL", "price.EUR/USD"])
    now = datetime.now(timezone.utc)
    with StandInProcess(settings) as child:
        child.trade_unheard(100, now - timedelta(minutes=2), now - timedelta(minutes=1))
        made = child.made("AAPL", payloads=True)
        (lost,) = made.undelivered()
        assert 20 < len(lost.numbers) == len(made.events) < 80
        half = child.made("AAPL", ends=now - timedelta(seconds=90))
        assert 0 < len(half.events) < len(made.events)
        trades = list(RESTClient("demo", base=child.http_url).list_trades("AAPL", order="asc"))
        assert [trade.id for trade in trades] == [event.decoded()["i"] for event in made.events]
        (request,) = child.requests("/v3/trades")
        assert (request.status, request.results) == (200, len(trades))
        assert (request.first_ns, request.last_ns) == (made.events[0].time_ns, made.events[-1].time_ns)


def test_memory_is_bounded() -> None:
    history = History(100)
    for number in range(5_000):
        history.keep(Event(b"", "T.A", "A", "A", time_ns=number * 10**9), number)
        history.sent(1, [number + 1])
    made = history.account([], 0, 10_000, payloads=False)
    assert 100 <= len(made.events) <= 110
    assert made.forgotten + len(made.events) == 5_000
    assert [event.number for event in made.events] == list(range(made.forgotten + 1, 5_001))
    assert all(event.sent_on == [1] for event in made.events)


def test_late_events_take_their_place_and_no_two_change_places() -> None:
    history = History(1_000)
    times_ms = [5, 5, 7, 5, 6, 5, 7, 4]
    for time_ms in times_ms:
        history.keep(Event(b"", "T.A", "A", "A", time_ns=time_ms * 1_000_000), 0)
    kept = history.between("A", 0, 10**9)
    assert [(event.time_ns // 1_000_000, event.number) for event in kept] == sorted(
        (time_ms, number) for number, time_ms in enumerate(times_ms, 1)
    )
    times = [event.time_ns for event in kept]
    assert sorted(set(times)) == times


def test_without_a_history_there_is_none() -> None:
    with StandIn(StandInSettings(rate=0)) as stand_in, pytest.raises(StandInError, match="history_events"):
        stand_in.made()
    with pytest.raises(pydantic.ValidationError, match="history_events"):
        StandInSettings(traded=["T.AAPL"])
    now = datetime.now(timezone.utc)
    with on_command() as stand_in, pytest.raises(StandInError, match="nothing is traded"):
        stand_in.trade_unheard(10, now - timedelta(minutes=1), now)


@pytest.mark.parametrize("channel", ["T.NOPE", "price.NOPE", "ZZ.AAPL", "AAPL"])
def test_an_unknown_channel_cannot_be_traded(channel: str) -> None:
    with pytest.raises(StandInError, match=f"channel {channel}"), on_command(traded=[channel]):
        pass
