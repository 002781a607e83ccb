"""The session of a client, as the server sees it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from ticks_standin.market.events import Source

Victim = Literal["old", "new"]


class Reply(NamedTuple):
    """Frames that answer a client; with ``drop``, the connection then ends without a close frame."""

    frames: Sequence[bytes] = ()
    drop: bool = False


class Disconnect(NamedTuple):
    """The last frames of a connection, and the code of its close frame; None ends it without one."""

    frames: Sequence[bytes]
    code: int | None


class Session(Protocol):
    """The state of one client's connection in a provider's protocol."""

    @property
    def provider(self) -> str:
        """Name of the provider."""

    @property
    def key(self) -> str:
        """The accepted API key; empty before."""

    @property
    def account(self) -> Hashable | None:
        """Whose connection limit it counts towards; None while it counts towards none."""

    @property
    def idle_timeout_s(self) -> float | None:
        """Seconds without a message after which the client is dropped; None for no limit."""

    @property
    def login_timeout_s(self) -> float | None:
        """Seconds after connecting at which :meth:`overdue` is called; None for never."""

    def greeting(self) -> Sequence[bytes]:
        """Frames that the server sends first."""

    def receive(self, message: str | bytes, now: float) -> Reply:
        """The answer to a client's message; ``now`` is in seconds of a monotonic clock."""

    def overdue(self) -> Reply | None:
        """The answer to a client that has not logged in within :attr:`login_timeout_s`; None if it has."""

    def subscriptions(self) -> list[str]:
        """The client's subscriptions in the provider's terms, in the order of subscribing."""

    def symbols(self) -> Iterable[str]:
        """The symbols among the subscriptions."""

    def is_subscribed_to(self, topic: Hashable) -> bool:
        """Whether events of this topic are for this client."""

    def has_channel(self, market: str, channel: str) -> bool:
        """Whether any symbol of this channel of one of Polygon's markets is subscribed."""

    def sources(self) -> Iterable[Source]:
        """The sources that have to tick for this client."""

    def batches(self, count: int) -> Sequence[int]:
        """How many of the next ``count`` events go into each frame."""

    def wrap(self, payloads: Sequence[bytes]) -> bytes:
        """One frame of these events in JSON."""

    def limit_victim(self) -> Victim:
        """Which connection ends when there is one too many: an old one, or the new one."""

    def evicted(self) -> Disconnect:
        """How it ends as the connection that is one too many."""

    def too_slow(self) -> Disconnect:
        """How it ends when the client leaves too much unread."""
