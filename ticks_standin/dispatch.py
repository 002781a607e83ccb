"""What each command does to the server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from ticks_standin import commands
from ticks_standin.faults import Misbehaviour
from ticks_standin.framing import frame
from ticks_standin.replay import recorded, replay
from ticks_standin.server import FeedServer

_POLL_S = 0.005


async def obey(server: FeedServer, command: commands.Command) -> Any:
    """Do what a command says, and return its answer.

    Raises:
        StandInError: if it can't be done, in time where there is a limit.
    """
    connections, stream = server.connections, server.stream
    match command:
        case commands.GetAccount():
            return server.account()
        case commands.DropConnections(connection):
            chosen = connections.chosen(connection)
            for each in chosen:
                connections.drop(each)
            return len(chosen)
        case commands.DropNext():
            connections.drop_next(command)
        case commands.CloseConnections(code, reason, connection):
            chosen = connections.chosen(connection)
            await asyncio.gather(*(each.close(code, reason) for each in chosen))
            return len(chosen)
        case commands.Mute(muted, connection):
            if connection is None:
                stream.mute(muted=muted)
            for each in connections.chosen(connection) if connection is not None or not muted else []:
                each.muted = muted
        case commands.Freeze(frozen, connection):
            for each in connections.chosen(connection):
                each.freeze(frozen=frozen)
        case commands.Hush(symbols, connection):
            _hush(server, symbols, connection)
        case commands.Drip(bytes_per_s, connection):
            for each in connections.chosen(connection):
                each.drip(bytes_per_s)
        case commands.Misbehave(misbehaviour, connection):
            _misbehave(server, misbehaviour, connection)
        case commands.SendExactly(ticks, timeout_s):
            await _send_exactly(server, ticks, timeout_s)
        case commands.SendBars():
            return stream.send_bars(unfinished=True)
        case commands.WaitUntilSubscribed(symbols, timeout_s):
            await _wait_until_subscribed(server, set(symbols), timeout_s)
        case commands.Load(events_per_s):
            server.load.set_rate(events_per_s)
        case commands.SendTape(events, timeout_s):
            await _send_tape(server, events, timeout_s)
        case commands.Replay(file, speed, data_only, timeout_s):
            return await _replay(server, Path(file), speed, timeout_s, data_only=data_only)
        case commands.Inject(frames, connection):
            return _inject(server, frames, connection)
        case _:
            return await _obey_on_access(server, command)
    return None


async def _obey_on_access(server: FeedServer, command: commands.Command) -> Any:
    """The commands on who gets in, and who may stay."""
    connections = server.connections
    match command:
        case commands.Accept(accepting):
            await (server.listen() if accepting else server.stop_listening())
        case commands.AcceptSilently(missing):
            server.leave_unheard(missing)
        case commands.GoAway(seconds):
            await server.go_away(seconds)
        case commands.KillSlowConsumers(unread_bytes):
            slow = [each for each in connections if each.unread > unread_bytes]
            for each in slow:
                connections.leave(each, each.session.too_slow())
            return len(slow)
        case commands.LimitConnections(maximum):
            return connections.limit(maximum)
        case commands.RevokeKeys(keys, drop):
            server.keys.revoke(keys)
            for each in connections:
                if drop and not server.keys.accepts(each.session.key):
                    connections.drop(each)
        case commands.RestoreKeys():
            server.keys.restore()
        case _:
            return _obey_on_history(server, command)
    return None


def _obey_on_history(server: FeedServer, command: commands.Command) -> Any:
    """The commands on what was made, and on REST that serves it."""
    match command:
        case commands.RestFault():
            server.rest.fail(command)
        case commands.HealRest():
            server.rest.heal()
        case commands.DelayRest(seconds, provider):
            server.rest.delay(seconds, provider)
        case commands.GetRequests(path):
            return server.rest.requests(path)
        case commands.GetMade(channels, begins_ms, ends_ms, payloads):
            _need_history(server)
            return server.history.account(channels, begins_ms, ends_ms, payloads=payloads)
        case commands.TradeUnheard(ticks, begins_ms, ends_ms):
            _need_history(server)
            if not server.stream.trade_unheard(ticks, begins_ms, ends_ms):
                raise commands.StandInError("nothing is traded: no channel was ever subscribed or named by traded")
    return None


def _need_history(server: FeedServer) -> None:
    if not server.history.kept:
        raise commands.StandInError("the stand-in keeps no history: give it a history_events above 0")


def _hush(server: FeedServer, symbols: list[str], connection: int | None) -> None:
    if connection is None:
        server.silent = server.silent | set(symbols) if symbols else set()
        server.stream.silence(server.silent)
    for each in server.connections.chosen(connection):
        each.silent = each.silent | set(symbols) if symbols else set()
    server.route()


def _misbehave(server: FeedServer, misbehaviour: Misbehaviour | None, connection: int | None) -> None:
    chosen = server.connections.chosen(connection)
    if connection is None:
        server.misbehaviour = misbehaviour
        server.stream.misbehave(misbehaviour)
        server.polygon_events.be_fractional(misbehaviour.fractional if misbehaviour else 0.0)
        misbehaviour = misbehaviour.without_times() if misbehaviour else None
    for each in chosen:
        each.misbehave(misbehaviour)


def _inject(server: FeedServer, frames: list[commands.RawFrame], connection: int | None) -> int:
    reached = [each for each in server.connections.chosen(connection) if each.session.subscriptions()]
    for each in reached:
        for raw in frames:
            each.queue(raw.payload, frame(raw.payload, text=raw.text))
        each.flush()
    return len(reached)


async def _send_exactly(server: FeedServer, ticks: int, timeout_s: float) -> None:
    before = server.stream.ticks
    try:
        await asyncio.wait_for(server.stream.send_exactly(ticks), timeout_s)
    except asyncio.TimeoutError:
        sent = server.stream.ticks - before
        raise commands.StandInError(
            f"{sent} of {ticks} ticks sent in {timeout_s:g} s: nobody subscribed, or one of them does not read"
        ) from None


async def _send_tape(server: FeedServer, events: int, timeout_s: float) -> None:
    before = server.load.events
    try:
        await asyncio.wait_for(server.load.send_exactly(events), timeout_s)
    except asyncio.TimeoutError:
        sent = server.load.events - before
        raise commands.StandInError(
            f"{sent} of {events} trades sent in {timeout_s:g} s: nobody subscribed to trades, or one does not read"
        ) from None


async def _replay(server: FeedServer, file: Path, speed: float, timeout_s: float, *, data_only: bool) -> int:
    replaying = replay(recorded(file), speed=speed, subscribers=server.subscribers, data_only=data_only)
    try:
        return await asyncio.wait_for(replaying, timeout_s)
    except asyncio.TimeoutError:
        raise commands.StandInError(f"{file} was not sent to its end within {timeout_s:g} s") from None


async def _wait_until_subscribed(server: FeedServer, symbols: set[str], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while missing := symbols - server.stream.subscribed():
        if time.monotonic() > deadline:
            raise commands.StandInError(f"nobody subscribed to {', '.join(sorted(missing))} within {timeout_s:g} s")
        await asyncio.sleep(_POLL_S)
