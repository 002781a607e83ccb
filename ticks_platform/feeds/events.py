"""What a connector decodes frames into: events for the tables, notices about the connection."""

from __future__ import annotations

from datetime import date
from typing import Literal, NamedTuple

import msgspec

ARRIVAL = -(2**63)
"""The `time` of a tick, a quote or a halt to which the provider gives none: it gets its frame's arrival, by the right
time as far as that is known. Only `Connector.decode` may use it: what a history tells arrives at another time."""


class Frame(NamedTuple):
    """One WebSocket message as received, bytes untouched."""

    data: bytes
    received_at: int
    """Arrival, in nanoseconds since the Unix epoch."""
    connection: int
    """Number of the connection that carried it, within one ingestion."""
    stepped: int = 0
    """Nanoseconds by which the wall clock, which `received_at` is of, was set since this process began."""
    correction: int = 0
    """Nanoseconds to add to `received_at`, since that clock is wrong, as far as is known at arrival."""
    covered_until: int | None = None
    """By the same clock: the moment up to which all that was sent on the connection has arrived, as this frame proves.
    0 if that is unknown. Only the first of frames that arrived together has it."""


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One price event of one symbol."""

    symbol: str
    time: int
    """Event time as stamped by the provider, in nanoseconds since the Unix epoch; ARRIVAL if it stamps none."""
    price: float
    day_volume: float | None = None
    """Cumulative volume of the trading day, as the provider counts it; not the size of this trade."""
    size: float | None = None
    """Size of this trade, if the provider sends trades."""
    bid: float | None = None
    ask: float | None = None
    exchange: str | None = None
    """The exchange, by the provider's number or name; off-exchange trades add a slash and the TRF."""
    trade_id: str | None = None
    """The provider's id of the trade, unique per symbol, exchange and day. A tick with an id is stored once, however
    often it is sent."""
    updates: int | None = None
    """What it may change in a candle, as bits of `feeds.updates`; None for everything."""
    conditions: tuple[int, ...] | None = None
    """The provider's numbers of the conditions under which it was traded; None if it has none."""
    malformed: tuple[str, ...] | None = None
    """The provider's names of optional fields whose values could not be read, so that they are None here; None if there
    are none. They are counted, not stored."""


class OfficialPrice(msgspec.Struct, frozen=True, gc=False):
    """An exchange's official price of a session. It repeats a trade of an auction, so it is none itself."""

    symbol: str
    time: int
    """Event time as stamped by the provider, in nanoseconds since the Unix epoch."""
    session: date
    """The exchange's trading day."""
    kind: Literal["open", "close", "corrected_close"]
    price: float
    size: float | None = None
    """Size of the auction, for information."""
    exchange: str | None = None
    is_primary: bool = False
    """Whether the exchange is the one that lists the symbol."""


class Correction(msgspec.Struct, frozen=True, gc=False):
    """The market takes a trade back. Where it corrects one, the corrected trade follows as a tick of its own."""

    symbol: str
    time: int
    """Event time of the trade that is taken back, or of the message if it does not tell, in nanoseconds since the Unix
    epoch. Trade ids restart each day, so it names the day."""
    exchange: str | None
    """As the tick has it."""
    trade_id: str
    kind: Literal["cancelled", "corrected"]
    source: str
    """Where it was said, in the provider's words."""
    price: float | None = None
    """If given, only a trade with this price and this size is meant: the incorrect one of a corrected pair."""
    size: float | None = None
    conditions: tuple[int, ...] | None = None
    """And with these conditions, in any order, if they are given: a correction may be of them alone."""
    kept_price: float | None = None
    """If given, a trade with this price and this size is not meant: the correct one of a corrected pair."""
    kept_size: float | None = None
    kept_conditions: tuple[int, ...] | None = None
    """If given, one with other conditions is meant all the same."""


class TradingHalt(msgspec.Struct, frozen=True, gc=False):
    """Trading of a symbol was halted, or resumed. Until it resumes, its silence is expected."""

    symbol: str
    time: int
    """Event time as stamped by the provider, in nanoseconds since the Unix epoch."""
    kind: Literal["halt", "resume"]


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Best bid and offer of one symbol. A side that the provider omits or sends as zero is None."""

    symbol: str
    time: int
    """As of a tick."""
    bid: float | None = None
    bid_size: float | None = None
    ask: float | None = None
    ask_size: float | None = None
    exchange: str | None = None
    malformed: tuple[str, ...] | None = None
    """As of a tick."""


class Bar(msgspec.Struct, frozen=True, gc=False):
    """An aggregate that the provider sent. A later one of the same symbol and window replaces it."""

    symbol: str
    start_time: int
    """Start of the window, in nanoseconds since the Unix epoch."""
    end_time: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None = None
    average_price: float | None = None
    """Volume-weighted average price of the window."""
    malformed: tuple[str, ...] | None = None
    """As of a tick."""


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """An event or a whole frame that cannot become a row. It is stored with its reason; other events are unaffected."""

    reason: str
    raw: bytes


class Control(msgspec.Struct, frozen=True, gc=False):
    """An event without market data, such as a heartbeat or a subscription status."""

    kind: str


def arrived(event: Event, received_at: int) -> Event:
    """The event, at its frame's arrival if it has no time of its own."""
    if isinstance(event, Tick | Quote | TradingHalt) and event.time == ARRIVAL:
        return msgspec.structs.replace(event, time=received_at)
    return event


Event = Tick | Quote | Bar | OfficialPrice | Correction | TradingHalt | Rejected | Control


def with_malformed(event: Event, names: tuple[str, ...]) -> Event:
    """The event with these names added to its `malformed`; one that has no such field as it is."""
    if not names or not isinstance(event, Tick | Quote | Bar):
        return event
    return msgspec.structs.replace(event, malformed=(*(event.malformed or ()), *names))


class Authenticated(msgspec.Struct, frozen=True):
    """The provider accepted the client's key; it may subscribe now."""


class Acknowledged(msgspec.Struct, frozen=True):
    """The provider streams these channels from now on; named as they were requested."""

    channels: tuple[str, ...]


class ChannelsFailed(msgspec.Struct, frozen=True):
    """The provider will not stream these channels; the reason of each."""

    reasons: dict[str, str]


class Unsubscribed(msgspec.Struct, frozen=True):
    """The provider stopped these channels, as requested."""

    channels: tuple[str, ...]


class NotEntitled(msgspec.Struct, frozen=True):
    """The provider refuses channels without naming them: those of the oldest request that stay unanswered."""

    reason: str


class RequestRefused(msgspec.Struct, frozen=True):
    """The provider refuses a whole message with channels, the oldest that is unanswered. They are requested in halves.

    So those that it does accept stream, and each of the others has this reason.
    """

    reason: str
    is_limit: bool = False
    """Whether the number of channels is the reason: then once one channel alone is refused, all others are."""


class ProviderError(msgspec.Struct, frozen=True):
    """The provider reported an error; the connection continues. Channels that stay unanswered have it as the reason."""

    message: str


class TryLater(msgspec.Struct, frozen=True):
    """The provider ends this connection and accepts another one only after `seconds`."""

    reason: str
    seconds: float


class Refused(msgspec.Struct, frozen=True):
    """The provider refuses this client; a retry with the same settings cannot succeed.

    The client asks once more, some time later. A second refusal without an acceptance in between ends the feed.
    """

    reason: str


class ClockDoubt(msgspec.Struct, frozen=True):
    """This machine's clocks came apart: the wall clock was set, or the machine slept. The time since the last look is
    doubtful.
    """

    cause: str
    """What happened, as a cause of a gap: clock_stepped, or slept."""
    detail: str
    stepped_before: int
    """By how much the wall clock was set before, since this process began, in nanoseconds."""


class Silent(msgspec.Struct, frozen=True):
    """Channels without data for longer than their symbol's rate and calendar explain, with the seconds of silence."""

    seconds: dict[str, float]
    heard_after: dict[str, float] = {}
    """A moment before each channel's last data, in seconds since the Unix epoch by the wall clock as it was when this
    process began; 0 if there was none."""


class HeardAgain(msgspec.Struct, frozen=True):
    """Channels that were reported as silent and have data again."""

    channels: tuple[str, ...]
    heard_by: dict[str, float] = {}
    """The moment by which each channel's first new data had arrived, by the same clock."""


Notice = (
    Authenticated
    | Acknowledged
    | ChannelsFailed
    | Unsubscribed
    | NotEntitled
    | RequestRefused
    | ProviderError
    | TryLater
    | Refused
    | ClockDoubt
    | Silent
    | HeardAgain
)
