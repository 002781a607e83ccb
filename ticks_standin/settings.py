"""Settings of the stand-in feed server."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ticks_standin.market.hours import TradingHours

BadKeyMode = Literal["401", "200+body", "403", "400"]
StatusStyle = Literal["live", "documented"]
PolygonBadKeyMode = Literal["auth_failed", "not_entitled", "auth_timeout"]
AckFrames = Literal["one", "several"]
CapVictim = Literal["old", "new", "either"]
CapEnding = Literal["1008", "abort"]
SlowStatus = Literal["both", "slow_consumer", "force_disconnect", "none"]
PolygonTape = Literal["real", "plain"]
IndexBarEnd = Literal["start", "end"]
PrepostVolume = Literal["zero", "absent"]
MarketField = Literal["exchange", "mic_code"]
NoData = Literal["400", "empty"]
Overfull = Literal["by_order", "newest"]

# As captured in February 2026; of September 2026 there is "Maximum number of websocket connections exceeded. " alone.
_CAP_TEXT = (
    "Maximum number of websocket connections exceeded. You have reached the connection limit for your account. "
    "Please contact support at https://polygon.io/contact to increase your limit."
)


class StandInSettings(BaseModel):
    """What the stand-in serves, and which faults it has. Immutable; an unknown or impossible setting is an error.

    Raises:
        pydantic.ValidationError: on construction; names the setting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="address to listen on; loopback only")
    port: int = Field(default=0, ge=0, le=65535, description="TCP port; 0 lets the system choose a free one")
    seed: int = Field(default=7, description="seed of the market: the same seed gives the same prices")
    rate: float = Field(
        default=20.0, ge=0, description="ticks per second over all subscribed symbols; 0 sends ticks on command only"
    )
    accept_any_symbol: bool = Field(default=False, description="make up a stock for each symbol that is not listed")
    market_hours: str = Field(
        default="",
        description="when US stocks and ETFs are traded: as 04:00-20:00 on days on which the exchanges are open, in "
        "New York; with a time zone, as '10:00:05-10:00:50 Etc/GMT-3', on every day there; empty is around the clock",
    )
    regular_hours: str = Field(
        default="",
        description="which of market_hours that have a time zone are regular, as 10:00:15-10:00:40; all by default",
    )
    keys: frozenset[str] = Field(
        default=frozenset(),
        description="accepted API keys besides 'demo'; none means that any non-empty key is accepted",
    )
    bad_key_mode: BadKeyMode = Field(default="401", description="how a wrong or missing key is refused")
    unauthorized_mics: frozenset[str] = Field(
        default=frozenset({"XHKG"}), description="markets that no key may see: their symbols fail with a message"
    )
    fails_null: bool = Field(
        default=True, description="empty success and fails lists are null, as seen live, rather than []"
    )
    status_style: StatusStyle = Field(
        default="live", description="items of subscribe-status as seen live, or as documented"
    )
    max_connections: int = Field(
        default=3, ge=1, description="connections per key (Polygon: per key and market); one more ends one of them"
    )
    idle_timeout_s: float = Field(
        default=300.0,
        gt=0,
        description="seconds without a message until a Twelve Data client is dropped",
    )
    events_per_minute: int = Field(
        default=100, ge=1, description="messages a Twelve Data client may send per minute on one connection"
    )
    max_message_bytes: int = Field(
        default=1_000_000, ge=1, description="largest message accepted from a client, in bytes"
    )
    slow_consumer_bytes: int = Field(
        default=64 * 2**20, ge=1, description="bytes a client may leave unread until its connection is dropped"
    )
    history_events: int = Field(
        default=0,
        ge=0,
        description="events of the market that are kept, for REST and for the account of what was not sent; the market "
        "then continues without subscribers, or while muted; 0 keeps none",
    )
    traded: frozenset[str] = Field(
        default=frozenset(),
        description="channels that are traded from the start, as T.AAPL or price.AAPL; others are traded from their "
        "first subscription on; needs history_events",
    )
    past_s: float = Field(
        default=0.0,
        ge=0,
        description="seconds before now in which a channel was traded already when it is first subscribed to; REST has "
        "these trades, and nobody is sent them; needs history_events",
    )
    past_rate: float = Field(
        default=0.5,
        gt=0,
        le=1_000,
        description="ticks per second of a channel in that past; fewer where they would fill half of the history",
    )
    rest_minute_s: float = Field(
        default=60.0, gt=0, description="length of the minute of the REST rate limits, in seconds"
    )
    rest_open_bar: bool = Field(
        default=False, description="REST also serves the bar that is not over yet, unless there is a delay"
    )
    record: bool = Field(default=False, description="keep every frame sent, in order, in the account")
    twelve_data_prepost: bool = Field(
        default=True, description="a Twelve Data plan includes bars of extended hours (Pro and above)"
    )
    twelve_data_prepost_volume: PrepostVolume = Field(
        default="zero",
        description="volume of Twelve Data's bars of extended hours, which have none: a zero, or no such field",
    )
    twelve_data_omits: frozenset[MarketField] = Field(
        default=frozenset(), description="fields that Twelve Data's price events omit: exchange, mic_code"
    )
    twelve_data_status_omits: frozenset[MarketField] = Field(
        default=frozenset(), description="fields that the items of Twelve Data's subscribe-status omit"
    )
    twelve_data_wrong_mic_code: bool = Field(
        default=False, description="mic_code of Twelve Data's stocks is that of another market"
    )
    twelve_data_credits_per_minute: int = Field(
        default=0, ge=0, description="API credits of a Twelve Data key per minute, one per symbol; 0 is no limit"
    )
    twelve_data_credits_per_day: int = Field(
        default=0, ge=0, description="API credits of a Twelve Data key per UTC day; 0 is no limit"
    )
    twelve_data_rest_delay_s: float = Field(
        default=0.0, ge=0, description="seconds from the end of a bar until Twelve Data's REST API serves it"
    )
    twelve_data_errors_in_200: bool = Field(
        default=False, description="errors of Twelve Data's REST API come with HTTP status 200"
    )
    twelve_data_no_data: NoData = Field(
        default="400", description="how Twelve Data answers for an interval without bars: an error, or no values"
    )
    twelve_data_end_inclusive: bool = Field(
        default=True, description="the bar that begins at Twelve Data's end_date belongs to the answer"
    )
    twelve_data_overfull: Overfull = Field(
        default="by_order",
        description="which bars Twelve Data gives if there are more than outputsize: the first by order, or the newest",
    )
    batch_max: int = Field(
        default=30, ge=1, le=5_000, description="most events in one frame of Polygon; sizes are mixed"
    )
    load_rate: float = Field(
        default=0.0,
        ge=0,
        description="trades per second of a full tape, which Polygon clients of stock trades get in addition",
    )
    load_symbols: int = Field(default=8_000, ge=1, le=100_000, description="made-up symbols on the full tape")
    load_frame_max: int = Field(
        default=300, ge=1, le=5_000, description="most trades in one frame of the full tape; sizes are mixed"
    )
    replay: str = Field(
        default="", description="journal whose frames are sent in place of made-up prices, once somebody subscribes"
    )
    replay_speed: float = Field(
        default=1.0, ge=0, description="multiple of the recorded pace; 0 is as fast as subscribers read"
    )
    polygon_bad_key_mode: PolygonBadKeyMode = Field(
        default="auth_failed",
        description="how Polygon refuses a wrong key: auth_failed, the same with the text on a missing plan, or "
        "auth_timeout only",
    )
    polygon_unentitled_markets: frozenset[str] = Field(
        default=frozenset(), description="Polygon markets that no key's plan includes"
    )
    polygon_unauthorized_channels: frozenset[str] = Field(
        default=frozenset(),
        description="Polygon channels that are answered with 'not authorized': topics as Q, or channels as Q.AAPL",
    )
    polygon_auth_timeout_s: float = Field(
        default=10.0, gt=0, description="seconds until a Polygon client that does not authenticate is dropped"
    )
    polygon_ack_frames: AckFrames = Field(
        default="one", description="statuses that answer one message of a Polygon client: in one frame, or several"
    )
    polygon_ack_unheld: bool = Field(
        default=True, description="unsubscribing from a Polygon channel that is not subscribed is acknowledged too"
    )
    polygon_cap_victim: CapVictim = Field(
        default="old", description="the Polygon connection that ends when there is one too many; either is random"
    )
    polygon_cap_ending: CapEnding = Field(
        default="1008",
        description="how it ends after the status max_connections: with close code 1008, or without a close frame",
    )
    polygon_cap_text: str = Field(default=_CAP_TEXT, description="message of the status max_connections")
    polygon_slow_status: SlowStatus = Field(
        default="both", description="statuses that a Polygon client gets before it is dropped as too slow"
    )
    polygon_bar_delay_s: float = Field(
        default=0.0, ge=0, description="seconds from the end of a Polygon bar's window until the bar is sent"
    )
    polygon_bar_memory_s: float = Field(
        default=960.0, ge=0, description="seconds for which late trades make a Polygon bar be sent again"
    )
    polygon_bar_end: bool = Field(
        default=True, description="Polygon bars of currencies carry e, which the docs' samples omit"
    )
    polygon_index_bar_end: IndexBarEnd = Field(
        default="start",
        description="e of Polygon's index bars: the start of the bar as in the docs' sample, or its end as in others",
    )
    polygon_odd_z_share: float = Field(
        default=0.05, ge=0, le=1, description="share of Polygon bars whose average size is not a whole number"
    )
    polygon_tape: PolygonTape = Field(
        default="real",
        description="Polygon stock trades: as on a real tape (odd lots, prices that are not the market's, late prints, "
        "auctions, extended hours), or plain ones only, each of which counts in bars",
    )
    polygon_taken_back: float = Field(
        default=0.0001,
        ge=0,
        le=1,
        description="share of Polygon stock trades of the real tape that are cancelled or corrected 1 to 40 minutes "
        "later, which only REST tells",
    )
    polygon_unknown_conditions: bool = Field(
        default=True, description="some Polygon stock trades have a condition that is in no list of the provider's"
    )
    polygon_option_twins: float = Field(
        default=0.05, ge=0, le=1, description="share of Polygon option trades that come twice in a millisecond, alike"
    )
    polygon_fractional_share: float = Field(
        default=0.05, ge=0, le=1, description="share of Polygon stock trades of less or more than whole shares"
    )
    polygon_decimal_sizes: bool = Field(
        default=True, description="Polygon stock trades and bars carry ds, dv and dav, as since February 2026"
    )
    polygon_participant_time: bool = Field(default=True, description="Polygon trades and quotes of stocks carry pt")
    polygon_backward_q: float = Field(
        default=0.0, ge=0, le=1, description="share of Polygon events whose q repeats, or steps back"
    )
    polygon_one_sided_share: float = Field(
        default=0.02, ge=0, le=1, description="share of Polygon stock quotes in which one side is missing or zero"
    )
    polygon_numeric_crypto_ids: bool = Field(
        default=False,
        description="i of Polygon crypto trades is a number as in the docs' sample, not a string as in live frames",
    )
    polygon_numeric_forex_exchange: bool = Field(
        default=False,
        description="x of Polygon forex quotes is a number as in the specification, not a string as in its sample",
    )

    polygon_requests_per_minute: int = Field(
        default=0, ge=0, description="REST requests of a Polygon key per minute (the free plan has 5); 0 is no limit"
    )
    polygon_rest_delay_s: float = Field(
        default=0.0, ge=0, description="seconds from a trade, or the end of a bar, until Polygon's REST API serves it"
    )
    polygon_rest_unentitled: frozenset[str] = Field(
        default=frozenset(),
        description="parts of Polygon's REST API that no key's plan includes: trades, aggs, reference, actions",
    )
    polygon_rest_timezone: str = Field(
        default="America/New_York",
        description="time zone of dates and daily bars in Polygon's REST API",
    )

    @model_validator(mode="after")
    def _times_of_hours(self) -> StandInSettings:
        TradingHours(self.market_hours, self.regular_hours)
        return self

    @model_validator(mode="after")
    def _history_of_what_is_kept(self) -> StandInSettings:
        if self.traded and not self.history_events:
            raise ValueError(
                "traded needs history_events above 0: without a history only subscribed channels are traded"
            )
        if self.past_s and not self.history_events:
            raise ValueError("past_s needs history_events above 0: without a history nothing of the past is kept")
        return self

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        # localhost may resolve to two addresses, and with port 0 to two ports.
        address = "127.0.0.1" if host == "localhost" else host
        try:
            loopback = ipaddress.ip_address(address).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(f"the stand-in listens on loopback only, and {host!r} is not a loopback address")
        return address
