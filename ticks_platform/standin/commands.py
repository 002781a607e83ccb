"""The commands that make the stand-in misbehave, and the methods with which a test gives them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias, TypeVar

import msgspec

from ticks_platform.standin.account import Account

Result = TypeVar("Result")


class StandInError(RuntimeError):
    """The stand-in could not start, is not running, or could not do what it was told."""


class RawFrame(msgspec.Struct):
    """A WebSocket message to send as it is."""

    payload: bytes
    text: bool


class GetAccount(msgspec.Struct, tag=True):
    """Answered with the :class:`Account`."""


class DropConnections(msgspec.Struct, tag=True):
    """Answered with the number of connections."""


class CloseConnections(msgspec.Struct, tag=True):
    """Answered with the number of connections."""

    code: int
    reason: str


class Mute(msgspec.Struct, tag=True):
    """``muted`` stops the ticks."""

    muted: bool


class Accept(msgspec.Struct, tag=True):
    """``accepting`` false closes the port."""

    accepting: bool


class Inject(msgspec.Struct, tag=True):
    """Answered with the number of connections reached."""

    frames: list[RawFrame]


class SendExactly(msgspec.Struct, tag=True):
    """Answered when all are sent."""

    ticks: int
    timeout_s: float


class WaitUntilSubscribed(msgspec.Struct, tag=True):
    """Answered when each symbol has a subscriber."""

    symbols: list[str]
    timeout_s: float


Command: TypeAlias = (
    GetAccount | DropConnections | CloseConnections | Mute | Accept | Inject | SendExactly | WaitUntilSubscribed
)


class Controls(ABC):
    """What a test can make a running stand-in do. Every method raises :class:`StandInError` if it can't be done.

    Methods may be called from any thread, also while another one waits.
    """

    @abstractmethod
    def _call(self, command: Command, result: type[Result], timeout_s: float = 10.0) -> Result: ...

    def account(self) -> Account:
        """What was sent so far, and to whom."""
        return self._call(GetAccount(), Account)

    def drop_connections(self) -> int:
        """Drop every connection without a close frame; returns how many."""
        return self._call(DropConnections(), int)

    def close_connections(self, code: int = 1000, reason: str = "") -> int:
        """Close every connection with a closing handshake of this code; returns how many."""
        return self._call(CloseConnections(code, reason), int)

    def go_mute(self) -> None:
        """Send no more ticks, but still answer pings and actions."""
        self._call(Mute(muted=True), type(None))

    def unmute(self) -> None:
        """Send ticks again, from now on."""
        self._call(Mute(muted=False), type(None))

    def pause_accepting(self) -> None:
        """Close the port: new connections are refused by the system. Open ones stay."""
        self._call(Accept(accepting=False), type(None))

    def resume_accepting(self) -> None:
        """Listen on the same port again."""
        self._call(Accept(accepting=True), type(None))

    def inject(self, *frames: bytes | str | RawFrame) -> int:
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
        return self._call(Inject(raw), int)

    def send_exactly(self, ticks: int, timeout_s: float = 30.0) -> None:
        """Send exactly this many ticks as fast as the slowest subscriber reads, then stop (``rate`` should be 0).

        Each is of a symbol that somebody is subscribed to; waits while nobody is, for ``timeout_s`` seconds in all.
        """
        self._call(SendExactly(ticks, timeout_s), type(None), timeout_s + 5.0)

    def wait_until_subscribed(self, *symbols: str, timeout_s: float = 10.0) -> None:
        """Wait until each of these symbols has a subscriber."""
        self._call(WaitUntilSubscribed(list(symbols), timeout_s), type(None), timeout_s + 5.0)
