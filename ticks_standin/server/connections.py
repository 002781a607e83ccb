"""All connections: the open ones, the ended ones, and what they were sent."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Literal

from ticks_standin.account import Account, ConnectionAccount
from ticks_standin.errors import StandInError
from ticks_standin.market.events import Event
from ticks_standin.provider.session import Disconnect
from ticks_standin.server.connection import Connection

Moment = Literal["connected", "subscribed"]

_ENDED_CONNECTIONS_KEPT = 1_000


@dataclass
class _Drop:
    """This many ``connections`` to come are dropped at a moment; ``code`` None means without a close frame."""

    connections: int
    when: Moment
    code: int | None


class Connections:
    """Keeps the open connections, in the order in which they came, and the account of all."""

    def __init__(self, maximum: int, changed: Callable[[], None]) -> None:
        """``maximum`` connections may be open per key; ``changed`` is called when one has ended."""
        self.made = 0
        self._maximum = maximum
        self._changed = changed
        self._open: dict[int, Connection] = {}
        self._ended: deque[ConnectionAccount] = deque(maxlen=_ENDED_CONNECTIONS_KEPT)
        self._ended_frames = 0
        self._ended_events: Counter[str] = Counter()
        self._ended_symbols: Counter[str] = Counter()
        self._ended_odd: Counter[tuple[str, str]] = Counter()
        self._recent: dict[tuple[str, str], deque[Event]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._to_drop: list[_Drop] = []

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._open.values()))

    def chosen(self, number: int | None) -> list[Connection]:
        """All open ones, or the one of this number. Raises StandInError if that is not open."""
        if number is None:
            return list(self)
        if number not in self._open:
            raise StandInError(f"there is no open connection {number}")
        return [self._open[number]]

    def add(self, connection: Connection) -> None:
        """A client has connected."""
        self._open[connection.number] = connection

    def recent_events(self, connection: Connection) -> deque[Event]:
        """The last events of the connection that its key had before."""
        return self._recent.get((connection.session.provider, connection.session.key), deque())

    def drop(self, connection: Connection) -> None:
        """End a connection without a close frame."""
        connection.abort()
        self.end(connection)

    def disconnect(self, connection: Connection, how: Disconnect) -> None:
        """Send the last frames of a connection and end it."""
        closing = connection.disconnect(how)
        if closing is None:
            self.end(connection)
        else:
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def end(self, connection: Connection) -> None:
        """Keep the account of a connection that has ended."""
        if self._open.pop(connection.number, None) is None:
            return
        account = connection.account()
        self._ended.append(account)
        self._ended_frames += account.frames
        self._ended_events.update(account.events)
        self._ended_symbols.update(account.symbols)
        self._ended_odd.update(_flat(account.odd))
        if connection.recent:
            self._recent[connection.session.provider, connection.session.key] = connection.recent
        self._changed()

    def limit(self, maximum: int) -> int:
        """Allow this many per key from now on; returns how many were over it, and ended."""
        self._maximum = maximum
        accounts = {connection.session.account for connection in self}
        return sum(self._enforce_limit(account) for account in accounts if account is not None)

    def make_room(self, newcomer: Connection) -> None:
        """End the connection that is one too many, if there is one now that this one counts."""
        account = newcomer.session.account
        if account is not None:
            self._enforce_limit(account, newcomer)

    def _enforce_limit(self, account: Hashable, newcomer: Connection | None = None) -> int:
        same = [each for each in self if each.session.account == account and not each.disconnecting]
        excess = max(len(same) - self._maximum, 0)
        if excess and newcomer is not None and newcomer.session.limit_victim() == "new":
            same = [newcomer]
        for connection in same[:excess]:
            self.disconnect(connection, connection.session.evicted())
        return excess

    def drop_next(self, connections: int, when: Moment, code: int | None) -> None:
        """Drop this many connections to come, without a close frame if ``code`` is None."""
        self._to_drop.append(_Drop(connections, when, code))

    def drop_if_due(self, connection: Connection, moment: Moment) -> None:
        """Drop a connection at this moment if that was ordered."""
        for order in self._to_drop:
            if order.when == moment and not connection.disconnecting:
                order.connections -= 1
                connection.disconnecting = True
                self.disconnect(connection, Disconnect((), order.code))
        self._to_drop = [order for order in self._to_drop if order.connections > 0]

    def account(self, ticks: int) -> Account:
        """What was sent since the start."""
        live = [connection.account() for connection in self]
        events, symbols, odd = self._ended_events.copy(), self._ended_symbols.copy(), self._ended_odd.copy()
        for connection in live:
            events.update(connection.events)
            symbols.update(connection.symbols)
            odd.update(_flat(connection.odd))
        kinds: dict[str, dict[str, int]] = {}
        for (kind, name), count in odd.items():
            kinds.setdefault(kind, {})[name] = count
        return Account(
            ticks=ticks,
            frames=self._ended_frames + sum(connection.frames for connection in live),
            price_events=events.total(),
            symbols=dict(symbols),
            events=dict(events),
            odd=kinds,
            connections=sorted([*self._ended, *live], key=lambda connection: connection.number),
        )


def _flat(odd: dict[str, dict[str, int]]) -> dict[tuple[str, str], int]:
    return {(kind, name): count for kind, counts in odd.items() for name, count in counts.items()}
