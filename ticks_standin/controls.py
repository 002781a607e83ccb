"""The methods with which a test makes a stand-in do what a provider might."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from pathlib import Path

from ticks_standin import commands
from ticks_standin.account import Account, MadeEvents, RestRequest
from ticks_standin.commands import Command, Moment, RawFrame, RestFaultKind, Result, Silence
from ticks_standin.faults import Misbehaviour

_NOTHING = type(None)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)


class Controls(ABC):
    """What a test can make a running stand-in do. Every method raises :class:`StandInError` if it can't be done.

    Methods may be called from any thread, also while another one waits. ``connection`` is a number in the account; None
    means all connections, and where it says so, those to come.
    """

    @abstractmethod
    def _call(self, command: Command, result: type[Result], timeout_s: float = 10.0) -> Result: ...

    def account(self) -> Account:
        """What was sent so far, and to whom."""
        return self._call(commands.GetAccount(), Account)

    def made(
        self,
        *channels: str,
        begins: datetime | None = None,
        ends: datetime | None = None,
        payloads: bool = False,
    ) -> MadeEvents:
        """What the market made in a half-open interval, and to whom each event was sent; needs ``history_events``.

        ``channels`` are symbols or channels as in ``T.AAPL``, all if none is named; the interval is one of the time of
        making, and without its ends, ends nowhere.
        """
        bounds = (0 if begins is None else _ms(begins), 2**63 - 1 if ends is None else _ms(ends))
        return self._call(commands.GetMade(list(channels), *bounds, payloads), MadeEvents, 60.0)

    def trade_unheard(self, ticks: int, begins: datetime, ends: datetime) -> None:
        """Trade this many ticks evenly over a past half-open interval, and send them to nobody.

        Of what was ever subscribed, or is ``traded``; needs ``history_events``. An interval before what was traded
        already is possible, but gives prices and day volumes that go on from there.
        """
        self._call(commands.TradeUnheard(ticks, _ms(begins), _ms(ends)), _NOTHING, 60.0)

    def requests(self, path: str = "") -> list[RestRequest]:
        """The last REST requests, up to 10,000, whose path begins with ``path``, in the order of coming."""
        return self._call(commands.GetRequests(path), list[RestRequest])

    def fail_requests(
        self,
        kind: RestFaultKind = "status",
        requests: int = 1,
        path: str = "",
        *,
        status: int = 500,
        seconds: float = 30.0,
    ) -> None:
        """Spoil the answers to the next so many REST requests whose path begins with ``path``.

        They are: an error of this HTTP ``status``, or of this status but in a body that comes with 200
        (``error_in_200``); silence for so many ``seconds`` before the answer (``hang``); half a body (``cut``), or one
        that is no JSON (``garbage``); half a page, whose rest another page gives (``short_page``), or none does
        (``truncated``). Twelve Data has no pages: both of the last give half of the bars.
        """
        self._call(commands.RestFault(kind, requests, path, status, seconds), _NOTHING)

    def heal_requests(self) -> None:
        """Spoil no more answers."""
        self._call(commands.HealRest(), _NOTHING)

    def delay_rest(self, seconds: float, provider: str | None = None) -> None:
        """Let REST serve what is newest only after so many seconds from now on, as the settings of this do."""
        self._call(commands.DelayRest(seconds, provider), _NOTHING)

    def drop_connections(self, connection: int | None = None) -> int:
        """Drop connections without a close frame; returns how many."""
        return self._call(commands.DropConnections(connection), int)

    def drop_next(self, connections: int = 1, when: Moment = "subscribed", code: int | None = None) -> None:
        """Drop so many connections to come, as soon as they are connected (and greeted), or have subscribed.

        Without a close frame, or with one of this code.
        """
        self._call(commands.DropNext(connections, when, code), _NOTHING)

    def drop_twice(self) -> int:
        """Drop all connections now, and so many once more as soon as they have subscribed again; returns how many."""
        dropped = self.drop_connections()
        self.drop_next(dropped)
        return dropped

    def close_connections(self, code: int = 1000, reason: str = "", connection: int | None = None) -> int:
        """Close connections with a closing handshake of this code; returns how many."""
        return self._call(commands.CloseConnections(code, reason, connection), int)

    def go_mute(self, connection: int | None = None) -> None:
        """Send no more events, but still answer pings and actions. For all, no ticks are made meanwhile."""
        self._call(commands.Mute(True, connection), _NOTHING)

    def unmute(self, connection: int | None = None) -> None:
        """Send events again, from now on."""
        self._call(commands.Mute(False, connection), _NOTHING)

    def freeze(self, connection: int | None = None) -> None:
        """Stop without a FIN: open connections stay open, and nothing more is sent or answered, pings included."""
        self._call(commands.Freeze(True, connection), _NOTHING)

    def thaw(self, connection: int | None = None) -> None:
        """Go on, and answer first what was said meanwhile. Events of that time are not made up for."""
        self._call(commands.Freeze(False, connection), _NOTHING)

    def silence(self, *symbols: str, connection: int | None = None) -> None:
        """Send no more events of these symbols, or channels as in ``T.AAPL``; for all, also on connections to come."""
        self._call(commands.Hush(list(symbols), connection), _NOTHING)

    def unsilence(self, connection: int | None = None) -> None:
        """Send the events of all symbols again."""
        self._call(commands.Hush([], connection), _NOTHING)

    def drip(self, bytes_per_s: float | None, connection: int | None = None) -> None:
        """Let the bytes of open connections trickle at this rate; None lets them flow again."""
        self._call(commands.Drip(bytes_per_s, connection), _NOTHING)

    def misbehave(self, misbehaviour: Misbehaviour | None, connection: int | None = None) -> None:
        """Make the stream wrong, of connections to come too if it is for all; None makes it right again.

        What the misbehaviour before held back is sent first.
        """
        self._call(commands.Misbehave(misbehaviour, connection), _NOTHING)

    def pause_accepting(self) -> None:
        """Close the port: new connections are refused by the system. Open ones stay."""
        self._call(commands.Accept(accepting=False), _NOTHING)

    def resume_accepting(self) -> None:
        """Listen on the same port again."""
        self._call(commands.Accept(accepting=True), _NOTHING)

    def accept_silently(self, missing: Silence = "upgrade") -> None:
        """Accept connections to come, and then stay mute.

        Without the ``upgrade`` they are TCP connections and no more; without ``greeting`` they are upgraded, and pings
        are answered, but no message ever is. ``never`` greets and answers those to come again.
        """
        self._call(commands.AcceptSilently(missing), _NOTHING)

    def go_away(self, seconds: float) -> None:
        """Close the port and drop all connections; come back after so many seconds. Returns once it is gone."""
        self._call(commands.GoAway(seconds), _NOTHING)

    def kill_slow_consumers(self, unread_bytes: int = 0) -> int:
        """End the connections that leave more than this unread just now, as the provider does; returns how many."""
        return self._call(commands.KillSlowConsumers(unread_bytes), int)

    def limit_connections(self, maximum: int) -> int:
        """Allow so many connections per key from now on; returns how many were over it, oldest first, and ended."""
        return self._call(commands.LimitConnections(maximum), int)

    def revoke_keys(self, *keys: str, drop: bool = False) -> None:
        """Refuse these keys from now on, or all if none is given; with ``drop``, drop their connections too."""
        self._call(commands.RevokeKeys(list(keys), drop), _NOTHING)

    def restore_keys(self) -> None:
        """Accept again what the settings accept."""
        self._call(commands.RestoreKeys(), _NOTHING)

    def inject(self, *frames: bytes | str | RawFrame, connection: int | None = None) -> int:
        """Send these messages, in order and unchecked, to every connection that has a subscription; returns how many.

        A str is sent as text, bytes as binary; :class:`RawFrame` also allows text that is not UTF-8.
        """
        raw = [
            item
            if isinstance(item, RawFrame)
            else RawFrame(item, text=False)
            if isinstance(item, bytes)
            else RawFrame(item.encode(), text=True)
            for item in frames
        ]
        return self._call(commands.Inject(raw, connection), int)

    def send_exactly(self, ticks: int, timeout_s: float = 30.0) -> None:
        """Send exactly this many ticks as fast as the slowest subscriber reads, then stop (``rate`` should be 0).

        Each is of a symbol that somebody is subscribed to, and one event: a price event, a trade or a quote; bars come
        besides. Waits while nobody is subscribed, for ``timeout_s`` seconds in all.
        """
        self._call(commands.SendExactly(ticks, timeout_s), _NOTHING, timeout_s + 5.0)

    def send_bars(self) -> int:
        """Send all bars that changed since they were sent, also those whose window is not over; returns how many."""
        return self._call(commands.SendBars(), int)

    def load(self, events_per_s: float) -> None:
        """Send trades of a full tape at this rate, to Polygon clients of stock trades; 0 stops them.

        Clients of ``T.*`` get all of it, others what they are subscribed to. Symbols and frame sizes are settings.
        """
        self._call(commands.Load(events_per_s), _NOTHING)

    def send_tape(self, events: int, timeout_s: float = 60.0) -> None:
        """Send exactly this many trades of the full tape, as fast as the slowest of its clients reads."""
        self._call(commands.SendTape(events, timeout_s), _NOTHING, timeout_s + 5.0)

    def replay(
        self, file: str | Path, speed: float = 1.0, *, data_only: bool = True, timeout_s: float = 3_600.0
    ) -> int:
        """Send the frames of a journal at ``speed`` times the recorded pace; returns how many once all are sent.

        A speed of 0 is as fast as the subscribers read. Each gets the frames of its protocol, whatever it has
        subscribed to; statuses and acknowledgements are left out unless ``data_only`` is false.
        """
        command = commands.Replay(str(file), speed, data_only, timeout_s)
        return self._call(command, int, timeout_s + 5.0)

    def wait_until_subscribed(self, *symbols: str, timeout_s: float = 60.0) -> None:
        """Wait until each of these symbols, or channels as in ``T.AAPL``, has a subscriber."""
        self._call(commands.WaitUntilSubscribed(list(symbols), timeout_s), _NOTHING, timeout_s + 5.0)
