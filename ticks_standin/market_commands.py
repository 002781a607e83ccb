"""The commands that make market events, change what became of them, and tell what was made."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import Literal

from ticks_standin.account import MadeEvents
from ticks_standin.errors import StandInError
from ticks_standin.market.actions import Dividend, Split
from ticks_standin.market.bars import UNITS
from ticks_standin.market.history import now_ms
from ticks_standin.past_day import PastDay
from ticks_standin.polygon.prints import CANCELLED, CORRECTED, ERRONEOUS
from ticks_standin.polygon.trades import correct, decode_trade
from ticks_standin.remote import command
from ticks_standin.server.feed_server import FeedServer

_FOREVER_MS = 2**63 - 1


class MarketCommands:
    """The part of the commands that is of the market; each is like those of :class:`Commands`."""

    def __init__(self, server: FeedServer) -> None:
        self._server = server

    @command(answer_s=60.0)
    async def made(
        self,
        *channels: str,
        begins: datetime | None = None,
        ends: datetime | None = None,
        payloads: bool = False,
    ) -> MadeEvents:
        """What the market made in a half-open interval, and to whom each event was sent; needs ``history_events``.

        ``channels`` are symbols or channels as in ``T.AAPL``, all if none is named. The interval is one of the time of
        making; without a bound it is open on that side.
        """
        self._need_history()
        begins_ms, ends_ms = (0 if begins is None else _ms(begins)), (_FOREVER_MS if ends is None else _ms(ends))
        return self._server.history.account(channels, begins_ms, ends_ms, payloads=payloads)

    @command(answer_s=60.0)
    async def trade_unheard(self, ticks: int, begins: datetime, ends: datetime) -> None:
        """Trade this many ticks evenly over a past half-open interval, and send them to nobody.

        Ticks are of channels that were ever subscribed, or are ``traded``; needs ``history_events``. An interval before
        what was traded already is possible; prices and day volumes continue from the latest ones all the same. Ticks of
        stocks in hours in which their market is closed are left out.
        """
        self._need_history()
        if not self._server.stream.trade_unheard(ticks, _ms(begins), _ms(ends)):
            raise StandInError("nothing is traded: no channel was ever subscribed or named by traded")

    @command(answer_s=300.0)
    async def play_day(
        self,
        day: date,
        symbols: int = 500,
        prints: tuple[int, int] = (60, 200),
        seed: int = 7,
        taken_back: float = 0.002,
        *,
        send: bool = True,
    ) -> int:
        """Send a whole past day of made-up stocks to Polygon's subscribers, and serve it by REST.

        Returns how many trades it has. The arguments are those of :class:`PastDay`, which makes the same day in the
        caller. With ``send`` false it is served only. Needs ``history_events`` of its size.
        """
        try:
            past = await asyncio.to_thread(
                PastDay, day, symbols=symbols, prints=prints, seed=seed, taken_back=taken_back
            )
        except ValueError as error:
            raise StandInError(str(error)) from None
        if len(past.events) > self._server.history.limit:
            raise StandInError(f"history_events must be {len(past.events)} at least, for the day to be kept")
        await self._server.stream.play(past.events, send=send)
        return sum(not event.record for event in past.events)

    @command()
    async def take_back(
        self,
        channel: str,
        trades: int = 1,
        kind: Literal["cancelled", "erroneous", "corrected"] = "cancelled",
        *,
        price: float | None = None,
        size: float | None = None,
    ) -> list[str]:
        """Cancel the last trades of a channel as ``T.AAPL``, or correct them; returns their ids. Only REST tells.

        What counts in no bar and what was corrected before is passed over. A corrected trade gets the ``price`` and
        ``size`` that are given. Needs ``history_events``.
        """
        self._need_history()
        topic, _, symbol = channel.partition(".")
        chosen = self._server.history.correctable(("stocks", topic, symbol), trades)
        if len(chosen) < trades:
            raise StandInError(f"{channel}: {len(chosen)} trades can be taken back, not {trades}")
        code = {"cancelled": CANCELLED, "erroneous": ERRONEOUS, "corrected": CORRECTED}[kind]
        now = now_ms()
        for event in chosen:
            right = (event.price if price is None else price, event.volume if size is None else round(size * UNITS))
            self._server.history.keep(correct(event, code, now, right if code == CORRECTED else (None, 0)), now)
        return [decode_trade(event.payload).i for event in chosen]

    @command()
    async def announce_split(self, symbol: str, on: date, old: float, new: float) -> None:
        """Let REST tell of a split of ``old`` shares into ``new`` ones; another one of that day is replaced.

        Bars before it are adjusted, unless they are asked for as they were traded. Prices go on as they are.
        """
        self._server.actions.announce(Split(symbol, on, old, new))

    @command()
    async def announce_dividend(self, symbol: str, on: date, cash: float, close: float) -> None:
        """Let REST tell of a dividend of ``cash`` dollars, at a ``close`` before the ex-date ``on``."""
        self._server.actions.announce(Dividend(symbol, on, cash, close))

    @command()
    async def withdraw_actions(self, symbol: str) -> None:
        """Take all splits and dividends of a symbol back."""
        self._server.actions.withdraw(symbol)

    def _need_history(self) -> None:
        if not self._server.history.kept:
            raise StandInError("the stand-in keeps no history: set history_events above 0")


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)
