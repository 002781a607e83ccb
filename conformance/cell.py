"""One scenario with one client: its own stand-in, a fault, and a comparison of what was sent and received."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import websocket

from conformance.clients import OURS, QUICK, ClientProcess, Errand, confirms_after, provider_of
from conformance.keys import Key, sent_keys
from ticks_standin import ConnectionAccount, StandInProcess, StandInSettings

RATE = 200.0
"""Events per second of the stand-in."""

CAP = 25.0
"""Longest wait for a client, in seconds."""

PROMPTLY = 5.0
"""Seconds after the server's recovery within which our clients must have data again."""

SYMBOLS = ("AAPL", "MSFT")
STRANGER = "NVDA"
"""The symbol of a second, unrelated client."""

_START_TIMEOUT = 60.0
_AFTERWARDS = 0.5
_QUIET = 0.4
_SETTLE_TIMEOUT = 20.0
_POLL = 0.05
_LOOK = 0.5


class Well(NamedTuple):
    """When the server had recovered, in seconds since the epoch, and the number of the connection after which a
    connection's data proves the client's recovery (0: any)."""

    at: float
    after: int = 0


class Scenario(NamedTuple):
    """A fault, and the right reaction of a client."""

    name: str
    title: str
    act: Callable[[Cell], Well]
    settings: Mapping[str, Any] = {}
    symbols: Mapping[str, tuple[str, ...]] = {}
    """By provider, if not the default ones."""
    key: str = "demo"
    refused: bool = False
    """Whether the client must give up and say why."""
    providers: tuple[str, ...] = ("twelve_data", "polygon")
    cap: float = CAP
    handling_s: float = 0.0
    within: float = PROMPTLY
    """Seconds after which our clients must have data again."""
    patient: tuple[str, ...] = ()
    """Providers for which our client waits on purpose."""
    as_shipped: float = 0.0
    """Seconds by which ours may take longer as they ship than with the patience of QUICK."""

    def longer(self, client: str) -> float:
        """Seconds by which a client may take longer than `cap` and `within`."""
        return self.as_shipped if client in OURS and client not in QUICK else 0.0

    def cap_of(self, client: str) -> float:
        """Longest wait for a client, in seconds."""
        return self.cap + self.longer(client)


class Result(NamedTuple):
    """The result of a cell."""

    scenario: str
    client: str
    sent: int = 0
    """Events sent on the client's connections."""
    lost: int = 0
    """Events that its user never received, although the connection was not cut off behind them."""
    in_flight: int = 0
    """Events after the last received one on connections that the server cut off."""
    doubled: int = 0
    """Events that the user received more often than they were sent."""
    repeats: int = 0
    """Events that were sent more than once and received as often; removing these is not the connection's task."""
    seconds: float | None = None
    """Seconds from the server's recovery to the first event; None if none arrived within the cap."""
    cap: float = CAP
    connections: int = 0
    ended: str | None = None
    """How the client ended, if it did."""
    gave_up_right: bool = True
    """Whether it gave up exactly if it should."""
    fine: bool = True
    error: str | None = None


class Cell:
    """The stand-in and the client of one scenario."""

    def __init__(self, scenario: Scenario, client: str) -> None:
        self.scenario = scenario
        self.name = client
        self.provider = provider_of(client)
        settings = {"rate": RATE, "record": True, **scenario.settings}
        self.stand_in = StandInProcess(StandInSettings(**settings))
        self._strangers: list[websocket.WebSocket] = []
        header_key = client in OURS or self.provider == "polygon"
        url = self.stand_in.url(self.provider, key=None if header_key else scenario.key)
        symbols = scenario.symbols.get(self.provider, SYMBOLS)
        errand = Errand(url, self.stand_in.http_url, scenario.key, symbols, scenario.handling_s)
        try:
            self.client = ClientProcess(client, errand)
        except BaseException:
            self.stand_in.close()
            raise

    def close(self) -> None:
        """Close everything."""
        for stranger in self._strangers:
            with contextlib.suppress(OSError, websocket.WebSocketException):
                stranger.close(timeout=0)
        self.client.close()
        self.stand_in.close()

    def connections(self) -> list[ConnectionAccount]:
        """The client's connections, oldest first."""
        names = {STRANGER, f"T.{STRANGER}"}
        return [each for each in self.stand_in.account().connections if not names & set(each.subscribed)]

    @property
    def number(self) -> int:
        """The number of the client's newest connection."""
        return self.connections()[-1].number

    def wait_for_data(self, events: int = 20) -> None:
        """Wait for this many events. Raises RuntimeError if they do not arrive."""
        self._wait(lambda: len(self.client.events) >= events, _START_TIMEOUT, "no data at the start")

    def wait_for_end(self, timeout: float) -> None:
        """Wait until the client gives up, at most `timeout` seconds, and as long as ours take to ask a second time."""
        timeout += confirms_after(self.name) if self.name in OURS else 0.0
        self.client.look()  # returns once the client has started
        with contextlib.suppress(RuntimeError):
            self._wait(lambda: self.client.ended is not None, timeout, "still running")

    def _wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what}; ended: {self.client.ended}")
            time.sleep(_POLL)
            self.client.look()

    def stranger(self) -> None:
        """Connect a second client with the same key, which streams another symbol and does not reconnect."""
        socket = websocket.create_connection(self.stand_in.url(self.provider, key=self.scenario.key), timeout=5.0)
        self._strangers.append(socket)
        if self.provider == "polygon":
            for action, params in (("auth", self.scenario.key), ("subscribe", f"T.{STRANGER}")):
                socket.recv()
                socket.send(json.dumps({"action": action, "params": params}))
        else:
            socket.send(json.dumps({"action": "subscribe", "params": {"symbols": STRANGER}}))
        socket.recv()

    def recovery(self, well: Well) -> float | None:
        """Seconds from the server's recovery to the first event of an open connection; None if none arrives."""
        deadline = well.at + self.scenario.cap_of(self.name)
        while True:
            self.client.look()
            fresh = [(at, key) for at, key in self.client.events if at >= well.at]
            began = time.monotonic()
            if fresh:
                proof: set[Key] = set()
                for each in self.connections():
                    if each.number > well.after and each.ending is None:
                        proof.update(sent_keys(each))
                for at, key in fresh:
                    if key in proof:
                        return max(at - well.at, 0.0)
            if self.client.ended is not None or time.time() > deadline:
                return None
            # Reading a long account slows the stand-in down.
            time.sleep(max(_LOOK, 5 * (time.monotonic() - began)) if fresh else _POLL)

    def settle(self) -> None:
        """Stop sending events, and wait until the client has handled all of them."""
        time.sleep(_AFTERWARDS)
        self.stand_in.go_mute()
        deadline, before, since = time.monotonic() + _SETTLE_TIMEOUT, -1, time.monotonic()
        while time.monotonic() < deadline:
            self.client.look()
            if len(self.client.events) != before:
                before, since = len(self.client.events), time.monotonic()
            elif time.monotonic() - since > _QUIET:
                return
            time.sleep(_POLL)

    def compare(self, seconds: float | None, client: str) -> Result:
        """Compare what was sent with what was received."""
        got = Counter(key for _, key in self.client.events)
        owed: Counter[Key] = Counter()
        sent: Counter[Key] = Counter()
        in_flight = 0
        connections = self.connections()
        for each in connections:
            keys = sent_keys(each)
            sent.update(keys)
            if each.ending == "aborted":
                last = max((place for place, key in enumerate(keys) if key in got), default=-1)
                in_flight += len(keys) - last - 1
                keys = keys[: last + 1]
            owed.update(keys)
        scenario, ended = self.scenario, self.client.ended
        right = (ended is not None) == scenario.refused
        lost, doubled = (owed - got).total(), (got - sent).total()
        prompt = (
            scenario.refused
            or self.provider in scenario.patient
            or (seconds is not None and seconds <= scenario.within + scenario.longer(client))
        )
        return Result(
            scenario=scenario.name,
            client=client,
            sent=sent.total(),
            lost=lost,
            in_flight=in_flight,
            doubled=doubled,
            repeats=sum(count - 1 for key, count in got.items() if count > 1) - doubled,
            seconds=seconds,
            cap=scenario.cap_of(client),
            connections=len(connections),
            ended=ended,
            gave_up_right=right,
            fine=not lost and not doubled and right and prompt,
        )


def run(scenario: Scenario, client: str) -> Result:
    """Run one scenario with one client. A failure of the test itself is the result's `error`."""
    try:
        cell = Cell(scenario, client)
    except Exception as error:  # noqa: BLE001  (the other cells continue)
        return Result(scenario.name, client, fine=False, error=repr(error))
    try:
        if scenario.refused:
            scenario.act(cell)
            return cell.compare(None, client)
        cell.wait_for_data()
        seconds = cell.recovery(scenario.act(cell))
        cell.settle()
        return cell.compare(seconds, client)
    except Exception as error:  # noqa: BLE001  (the other cells continue)
        return Result(scenario.name, client, fine=False, error=repr(error), ended=cell.client.ended)
    finally:
        cell.close()
