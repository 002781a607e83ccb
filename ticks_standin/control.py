"""What a test holds of a running stand-in: its addresses, and its commands as methods."""

from __future__ import annotations

from abc import abstractmethod

from ticks_standin.commands import Commands
from ticks_standin.remote import Caller
from ticks_standin.server.framing import RawFrame
from ticks_standin.urls import http_url, provider_url


class RemoteControl(Commands, Caller):
    """The :class:`Commands` of a server that runs in another thread or process, and what is made of several commands.

    Every method may be called from any thread, also while another one waits, and raises :class:`StandInError` if the
    stand-in is not running, or cannot carry out the command.
    """

    @property
    @abstractmethod
    def _address(self) -> tuple[str, int]:
        """Host and port of the server. Raises StandInError if it has not been started."""

    def url(self, provider: str = "twelve_data", key: str | None = "demo", market: str = "stocks") -> str:
        """WebSocket URL of a provider's feed; without the key if it is None, for a client that sends it in a header.

        ``market`` is Polygon's, whose clients send the key in a message.
        """
        return provider_url(*self._address, provider, key, market)

    @property
    def http_url(self) -> str:
        """Base URL of what is served over HTTP."""
        return http_url(*self._address)

    def drop_twice(self) -> int:
        """Drop all connections now, and as many again as soon as they have subscribed; returns how many."""
        dropped = self.drop_connections()
        self.drop_next(dropped)
        return dropped

    def inject(self, *frames: bytes | str | RawFrame, connection: int | None = None) -> int:
        """Send these messages, in order and unchecked, to every connection that has a subscription; returns how many.

        A str is sent as text, bytes as binary; :class:`RawFrame` also allows text that is not UTF-8.
        """
        return self.send_raw([RawFrame.of(item) for item in frames], connection)
