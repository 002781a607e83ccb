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
    """One client's conversation."""

    @property
    def provider(self) -> str:
        """Whose protocol it is."""

    @property
    def key(self) -> str:
        """The API key that it was let in with; empty before."""

    @property
    def account(self) -> Hashable | None:
        """Whose limit of connections it counts towards; None while towards nobody's."""

    @property
    def idle_timeout_s(self) -> float | None:
        """Seconds without a message of the client until it is dropped."""

    @property
    def login_timeout_s(self) -> float | None:
        """Seconds from the connection until :meth:`overdue` is asked."""

    def greeting(self) -> Sequence[bytes]:
        """Frames that the server sends first."""

    def receive(self, message: str | bytes, now: float) -> Reply:
        """The answer to a client's message; ``now`` is in seconds of a monotonic clock."""

    def overdue(self) -> Reply | None:
        """What follows when the time to log in is over; None if the client has logged in."""

    def subscriptions(self) -> list[str]:
        """What the client is subscribed to, in the provider's terms, in the order of subscribing."""

    def symbols(self) -> Iterable[str]:
        """The symbols among the subscriptions."""

    def wants(self, topic: Hashable) -> bool:
        """Whether events of this topic are for this client."""

    def has_channel(self, market: str, channel: str) -> bool:
        """Whether anything of this channel of a market of Polygon's is subscribed."""

    def sources(self) -> Iterable[Source]:
        """What has to tick for this client."""

    def batches(self, count: int) -> Sequence[int]:
        """How many of the next ``count`` events go into each frame."""

    def wrap(self, payloads: Sequence[bytes]) -> bytes:
        """One frame of the JSON of some events."""

    def limit_victim(self) -> Victim:
        """Which connection ends when there is one too many."""

    def evicted(self) -> Disconnect:
        """How it ends as one connection too many."""

    def too_slow(self) -> Disconnect:
        """How it ends when it leaves too much unread."""
