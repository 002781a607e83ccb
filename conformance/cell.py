"""One scenario with one client: a stand-in and a client of their own, a fault, and a comparison of their accounts."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import websocket

from conformance.clients import OURS, ClientProcess, Errand, provider_of
from conformance.keys import Key, sent_keys
from ticks_standin import ConnectionAccount, StandInProcess, StandInSettings

RATE = 200.0
"""Events a second that the stand-in makes."""

CAP = 25.0
"""Seconds that a client is waited for at most."""

PROMPTLY = 5.0
"""Seconds from the server's recovery within which our clients must have data again."""

SYMBOLS = ("AAPL", "MSFT")
STRANGER = "NVDA"
"""The symbol of a second client that has nothing to do with the first."""

_START_TIMEOUT = 60.0
_AFTERWARDS = 0.5
_QUIET = 0.4
_SETTLE_TIMEOUT = 20.0
_POLL = 0.05
_LOOK = 0.5


class Well(NamedTuple):
    """When the server was well again, in seconds since the epoch, and which connections' data proves the client well:
    those that came after the one of this number, or any."""

    at: float
    after: int = 0


class Scenario(NamedTuple):
    """What is done to a client, and what is right."""

    name: str
    title: str
    act: Callable[[Cell], Well]
    settings: Mapping[str, Any] = {}
    symbols: Mapping[str, tuple[str, ...]] = {}
    """By provider, where they are not the usual ones."""
    key: str = "demo"
    refused: bool = False
    """The client must give up, and say why."""
    providers: tuple[str, ...] = ("twelve_data", "polygon")
    cap: float = CAP
    handling_s: float = 0.0
    within: float = PROMPTLY
    """Seconds after which our clients must have data again."""
    patient: tuple[str, ...] = ()
    """Providers whose client of ours waits on purpose."""


class Result(NamedTuple):
    """What was found."""

    scenario: str
    client: str
    sent: int = 0
    """Events handed to the client's connections."""
    lost: int = 0
    """Those of them that its user never got, although nobody cut the connection off behind them."""
    in_flight: int = 0
    """Events behind the last one that was got of a connection that the server cut off."""
    doubled: int = 0
    """Events that the user got more often than they were sent."""
    repeats: int = 0
    """Events that were sent more than once, and passed on as often: not the connection's to sort out."""
    seconds: float | None = None
    """From the server's recovery to the first event; None if none came within the cap."""
    cap: float = CAP
    connections: int = 0
    ended: str | None = None
    """What the client ended with."""
    gave_up_right: bool = True
    """It went on, or gave up, as it should."""
    fine: bool = True
    error: str | None = None


class Cell:
    """The scene of one scenario."""

    def __init__(self, scenario: Scenario, client: str) -> None:
        self.scenario = scenario
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
        """End all that was started."""
        for stranger in self._strangers:
            with contextlib.suppress(OSError, websocket.WebSocketException):
                stranger.close(timeout=0)
        self.client.close()
        self.stand_in.close()

    def connections(self) -> list[ConnectionAccount]:
        """Those of the client, oldest first."""
        names = {STRANGER, f"T.{STRANGER}"}
        return [each for each in self.stand_in.account().connections if not names & set(each.subscribed)]

    @property
    def number(self) -> int:
        """That of the client's newest connection."""
        return self.connections()[-1].number

    def wait_for_data(self, events: int = 20) -> None:
        """Wait until so many events have come. Raises RuntimeError if they don't."""
        self._wait(lambda: len(self.client.events) >= events, _START_TIMEOUT, "no data to begin with")

    def wait_for_end(self, timeout: float) -> None:
        """Wait until the client gives up, but not for ever."""
        self.client.look()  # answered once it has begun
        with contextlib.suppress(RuntimeError):
            self._wait(lambda: self.client.ended is not None, timeout, "it goes on")

    def _wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what}; ended: {self.client.ended}")
            time.sleep(_POLL)
            self.client.look()

    def stranger(self) -> None:
        """A second client with the same key, which streams another symbol and does not come back."""
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
        """Seconds from the server's recovery to the first event of a connection that stands; None if none comes."""
        deadline = well.at + self.scenario.cap
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
            # A look at a long account keeps the stand-in from its work.
            time.sleep(max(_LOOK, 5 * (time.monotonic() - began)) if fresh else _POLL)

    def settle(self) -> None:
        """Make no more events, and let the client take in what it has got."""
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
        """The two accounts side by side."""
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
            or (seconds is not None and seconds <= scenario.within)
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
            cap=scenario.cap,
            connections=len(connections),
            ended=ended,
            gave_up_right=right,
            fine=not lost and not doubled and right and prompt,
        )


def run(scenario: Scenario, client: str) -> Result:
    """Run one scenario with one client. What goes wrong with the test itself is in the result's `error`."""
    try:
        cell = Cell(scenario, client)
    except Exception as error:  # noqa: BLE001  (the other cells go on)
        return Result(scenario.name, client, fine=False, error=repr(error))
    try:
        if scenario.refused:
            scenario.act(cell)
            return cell.compare(None, client)
        cell.wait_for_data()
        seconds = cell.recovery(scenario.act(cell))
        cell.settle()
        return cell.compare(seconds, client)
    except Exception as error:  # noqa: BLE001  (the other cells go on)
        return Result(scenario.name, client, fine=False, error=repr(error), ended=cell.client.ended)
    finally:
        cell.close()
