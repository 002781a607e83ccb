"""The scenarios. Each was reported of a live service, or is described in its documentation."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from conformance.cell import Cell, Scenario, Well
from ticks_standin import Moment, RawFrame, Silence, StreamFaults

_OUTAGE = 5.0
_TIMED_OUT = 11.0
"""Limit for our clients if they must first detect that a connection is dead, in seconds."""

_SILENCE = 1.5 * (60.0 - 2.0)
"""Seconds by which silence ends a connection later: a client resubscribes after its patience, and reconnects after half
of that again."""

_DEAD = 23.0
"""Seconds by which a peer that stops without closing is found later: pings are sent every 15 s and answered within
10 s. A client with less patience than that finds it sooner."""

_MALFORMED_CAP = 10.0


def _abort(cell: Cell) -> Well:
    number = cell.number
    cell.stand_in.drop_connections()
    return Well(time.time(), number)


def _close(code: int) -> Scenario:
    def act(cell: Cell) -> Well:
        number, at = cell.number, time.time()
        cell.stand_in.close_connections(code)  # returns when both sides have closed
        return Well(at, number)

    return Scenario(f"close_{code}", f"closed with code {code}", act)


def _two_drops(when: Moment) -> Scenario:
    def act(cell: Cell) -> Well:
        number = cell.number
        cell.stand_in.drop_next(1, when)
        cell.stand_in.drop_connections()
        return Well(time.time(), number)

    if when == "connected":
        return Scenario("two_drops", "dropped, and again at once", act)
    return Scenario("two_drops_later", "dropped, and again once subscribed", act)


def _accept_silently(missing: Silence) -> Scenario:
    def act(cell: Cell) -> Well:
        number = cell.number
        cell.stand_in.accept_silently(missing)
        cell.stand_in.drop_connections()
        time.sleep(_OUTAGE)
        cell.stand_in.accept_silently("never")
        return Well(time.time(), number)

    if missing == "upgrade":
        return Scenario("mute_tcp", "5 s: accepts, never upgrades", act, within=_TIMED_OUT)
    return Scenario("mute_upgrade", "5 s: upgrades, says nothing", act, within=_TIMED_OUT, as_shipped=_SILENCE)


def _freeze(cell: Cell) -> Well:
    number = cell.number
    cell.stand_in.freeze(number)
    return Well(time.time(), number)


def _no_data(cell: Cell) -> Well:
    number = cell.number
    cell.stand_in.go_mute(number)
    return Well(time.time(), number)


def _one_silent(cell: Cell) -> Well:
    cell.wait_for_data(12_000)
    number = cell.number
    cell.stand_in.silence("AAPL", connection=number)
    return Well(time.time(), number)


def _port_closed(cell: Cell) -> Well:
    number = cell.number
    cell.stand_in.go_away(_OUTAGE)
    return Well(time.time() + _OUTAGE, number)


def _second_client(cell: Cell) -> Well:
    number = cell.number
    cell.stranger()
    return Well(time.time(), number)


def _wait_for_refusal(cell: Cell) -> Well:
    cell.wait_for_end(6.0)
    return Well(time.time())


def _go_on(cell: Cell) -> Well:
    time.sleep(1.0)
    return Well(time.time())


def _inject(name: str, title: str, frames: dict[str, Sequence[str | RawFrame]]) -> Scenario:
    """Send these frames between good ones."""

    def act(cell: Cell) -> Well:
        for item in frames[cell.provider]:
            cell.stand_in.inject(item)
            time.sleep(0.1)
        return Well(time.time() + 0.3)

    return Scenario(name, title, act, cap=_MALFORMED_CAP)


def _price(price: float | None, **fields: object) -> dict[str, object]:
    at = 1_700_000_000
    return {"event": "price", "symbol": "AAPL", "timestamp": at, "price": price, "day_volume": None, **fields}


def _trade(name: str, **fields: object) -> dict[str, object]:
    at = 1_700_000_000_000
    return {"ev": "T", "sym": "AAPL", "x": 4, "i": name, "z": 3, "p": 1.5, "s": 10, "t": at, "q": 1, **fields}


_BROKEN: dict[str, Sequence[str | RawFrame]] = {
    "twelve_data": ['{"event":"price","symbol":"AA'],
    "polygon": ['[{"ev":"T","sym":"AA'],
}
_NOT_UTF8: dict[str, Sequence[str | RawFrame]] = {
    "twelve_data": [RawFrame(b'{"event":"price","symbol":"\xff\xfe"}', text=True)],
    "polygon": [RawFrame(b'[{"ev":"T","sym":"\xff\xfe"}]', text=True)],
}
_CONTAINERS: dict[str, Sequence[str | RawFrame]] = {
    "twelve_data": ["[]", "42", "null", json.dumps([_price(1.0)])],
    "polygon": ["[]", "42", "null", json.dumps({"ev": "ZZ"})],
}
_FIELDS: dict[str, Sequence[str | RawFrame]] = {
    "twelve_data": [json.dumps(_price(None)), json.dumps({"event": "price"}), json.dumps({"symbol": "AAPL"})],
    "polygon": [json.dumps([_trade("1", p=None)]), json.dumps([{"ev": "T"}]), json.dumps([{"sym": "AAPL"}])],
}
_UNKNOWN: dict[str, Sequence[str | RawFrame]] = {
    "twelve_data": [json.dumps({"event": "zztop", "symbol": "AAPL"})],
    "polygon": [json.dumps([{"ev": "ZZTOP", "sym": "AAPL"}, _trade("amid-unknown")])],
}


def _huge(size: int, name: str, title: str) -> Scenario:
    frames: dict[str, Sequence[str | RawFrame]] = {
        "twelve_data": [json.dumps(_price(1.25, padding="x" * size))],
        "polygon": [json.dumps([_trade(f"huge-{number}") for number in range(size // 110)])],
    }
    return _inject(name, title, frames)


def _duplicates(cell: Cell) -> Well:
    cell.stand_in.set_faults(StreamFaults(duplicate=0.3))
    cell.stand_in.send_exactly(1_000)
    cell.stand_in.set_faults(None)
    return Well(time.time())


def _burst(events: int) -> Scenario:
    def act(cell: Cell) -> Well:
        cell.stand_in.send_exactly(events, timeout_s=40.0)
        return Well(time.time())

    return Scenario(f"burst_{events}", f"{events:,} at once, 0.1 ms each", act, handling_s=1e-4)


def _bad_key(name: str, title: str, provider: str, **settings: str) -> Scenario:
    keys = {"keys": frozenset({"good"}), **settings}
    return Scenario(name, title, _wait_for_refusal, keys, key="wrong", refused=True, providers=(provider,))


SCENARIOS = (
    Scenario("abort", "dropped, no close frame", _abort),
    _close(1000),
    _close(1001),
    _close(1008),
    _close(1011),
    _two_drops("connected"),
    _two_drops("subscribed"),
    _accept_silently("upgrade"),
    _accept_silently("greeting"),
    Scenario("freeze", "stalls mid-stream, no FIN", _freeze, as_shipped=_DEAD),
    Scenario("no_data", "answers pings, sends no data", _no_data, as_shipped=_SILENCE),
    Scenario(
        "one_silent",
        "one of two symbols falls silent",
        _one_silent,
        {"rate": 2_000.0},
        cap=15.0,
        within=12.0,
        as_shipped=_SILENCE,
    ),
    Scenario("port_closed", "port closed for 5 s", _port_closed),
    Scenario(
        "limit",
        "connection limit, second client",
        _second_client,
        {"max_connections": 1},
        patient=("polygon",),
    ),
    _bad_key("bad_key_401", "wrong key: HTTP 401", "twelve_data", bad_key_mode="401"),
    _bad_key("bad_key_403", "wrong key: HTTP 403", "twelve_data", bad_key_mode="403"),
    _bad_key("bad_key_200", "wrong key: HTTP 200 and a body", "twelve_data", bad_key_mode="200+body"),
    _bad_key("auth_failed", "wrong key: auth_failed", "polygon"),
    _bad_key("no_plan", "key without the plan", "polygon", polygon_bad_key_mode="not_entitled"),
    Scenario(
        "unknown",
        "unknown symbol, unknown topic",
        _go_on,
        symbols={"twelve_data": ("AAPL", "NOSUCH"), "polygon": ("T.AAPL", "ZZ.NOSUCH")},
    ),
    Scenario(
        "unauthorized",
        "channel not in the plan",
        _go_on,
        {"polygon_unauthorized_channels": frozenset({"T.MSFT"})},
        symbols={"twelve_data": ("AAPL", "1211")},
    ),
    _inject("broken_json", "broken JSON between good frames", _BROKEN),
    _inject("not_utf8", "text that is not UTF-8", _NOT_UTF8),
    _inject("containers", "not an object, not an array", _CONTAINERS),
    _inject("fields", "events without their fields", _FIELDS),
    _inject("unknown_event", "unknown events", _UNKNOWN),
    _huge(900_000, "huge", "a frame of 0.9 MB"),
    _huge(2_000_000, "too_huge", "a frame of 2 MB"),
    Scenario("duplicates", "events sent again", _duplicates),
    _burst(10_000),
    _burst(30_000),
)
