"""The commands that make the stand-in misbehave, as they go from a test to the server."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypeVar

import msgspec

from ticks_standin.faults import Misbehaviour

Result = TypeVar("Result")
Moment = Literal["connected", "subscribed"]
Silence = Literal["never", "upgrade", "greeting"]
RestFaultKind = Literal["status", "error_in_200", "hang", "cut", "garbage", "short_page", "truncated"]


class StandInError(RuntimeError):
    """The stand-in could not start, is not running, or could not do what it was told."""


class RawFrame(msgspec.Struct):
    """A WebSocket message to send as it is."""

    payload: bytes
    text: bool


class RestFault(msgspec.Struct, tag=True):
    """What happens to the next ``requests`` requests whose path begins with ``path``."""

    kind: RestFaultKind
    requests: int
    path: str
    status: int
    seconds: float


class HealRest(msgspec.Struct, tag=True):
    """Takes all :class:`RestFault` back that are left."""


class DelayRest(msgspec.Struct, tag=True):
    """In place of the settings' delay; None for both providers."""

    seconds: float
    provider: str | None


class GetRequests(msgspec.Struct, tag=True):
    """Answered with each :class:`RestRequest` whose path begins with ``path``."""

    path: str


class GetMade(msgspec.Struct, tag=True):
    """Answered with :class:`MadeEvents`; milliseconds of UNIX time."""

    channels: list[str]
    begins_ms: int
    ends_ms: int
    payloads: bool


class TradeUnheard(msgspec.Struct, tag=True):
    """Milliseconds of UNIX time."""

    ticks: int
    begins_ms: int
    ends_ms: int


class GetAccount(msgspec.Struct, tag=True):
    """Answered with the :class:`Account`."""


class DropConnections(msgspec.Struct, tag=True):
    """Answered with the number of connections."""

    connection: int | None = None


class DropNext(msgspec.Struct, tag=True):
    """``connections`` to come are dropped; ``code`` None means without a close frame."""

    connections: int
    when: Moment
    code: int | None


class CloseConnections(msgspec.Struct, tag=True):
    """Answered with the number of connections."""

    code: int
    reason: str
    connection: int | None = None


class Mute(msgspec.Struct, tag=True):
    """``muted`` stops the ticks."""

    muted: bool
    connection: int | None = None


class Freeze(msgspec.Struct, tag=True):
    """``frozen`` stops everything, in both directions."""

    frozen: bool
    connection: int | None = None


class Hush(msgspec.Struct, tag=True):
    """``symbols`` are silent from now on, besides those that are; none lets all be heard again."""

    symbols: list[str]
    connection: int | None = None


class Drip(msgspec.Struct, tag=True):
    """None lets the bytes flow."""

    bytes_per_s: float | None
    connection: int | None = None


class Misbehave(msgspec.Struct, tag=True):
    """None behaves."""

    misbehaviour: Misbehaviour | None
    connection: int | None = None


class Accept(msgspec.Struct, tag=True):
    """``accepting`` false closes the port."""

    accepting: bool


class AcceptSilently(msgspec.Struct, tag=True):
    """What new connections never get."""

    missing: Silence


class GoAway(msgspec.Struct, tag=True):
    """Answered when the port is closed."""

    seconds: float


class KillSlowConsumers(msgspec.Struct, tag=True):
    """Answered with the number of connections."""

    unread_bytes: int


class LimitConnections(msgspec.Struct, tag=True):
    """Answered with the number of connections over the limit."""

    maximum: int


class RevokeKeys(msgspec.Struct, tag=True):
    """No keys means all; ``drop`` ends their connections."""

    keys: list[str]
    drop: bool


class RestoreKeys(msgspec.Struct, tag=True):
    """Takes all revocations back."""


class Inject(msgspec.Struct, tag=True):
    """Answered with the number of connections reached."""

    frames: list[RawFrame]
    connection: int | None = None


class SendExactly(msgspec.Struct, tag=True):
    """Answered when all are sent."""

    ticks: int
    timeout_s: float


class SendBars(msgspec.Struct, tag=True):
    """Answered with the number of bars."""


class Load(msgspec.Struct, tag=True):
    """A rate of 0 stops it."""

    events_per_s: float


class SendTape(msgspec.Struct, tag=True):
    """Answered when all are sent."""

    events: int
    timeout_s: float


class Replay(msgspec.Struct, tag=True):
    """Answered with the number of frames sent."""

    file: str
    speed: float
    data_only: bool
    timeout_s: float


class WaitUntilSubscribed(msgspec.Struct, tag=True):
    """Answered when each symbol has a subscriber."""

    symbols: list[str]
    timeout_s: float


Command: TypeAlias = (
    GetAccount
    | DropConnections
    | DropNext
    | CloseConnections
    | Mute
    | Freeze
    | Hush
    | Drip
    | Misbehave
    | Accept
    | AcceptSilently
    | GoAway
    | KillSlowConsumers
    | LimitConnections
    | RevokeKeys
    | RestoreKeys
    | Inject
    | SendExactly
    | SendBars
    | Load
    | SendTape
    | Replay
    | RestFault
    | HealRest
    | DelayRest
    | GetRequests
    | GetMade
    | TradeUnheard
    | WaitUntilSubscribed
)
