"""The interface of a provider's API for past data, without I/O: requests to make, and what the responses mean.

A connector returns its `History` from `Connector.history`. Pages become frames, which are journalled and decoded like
those of a WebSocket: decoding depends on the frame alone. See docs/connectors.md.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from ticks_platform.errors import ActionRequiredError, TicksPlatformError
from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.events import ARRIVAL, Event, Rejected
from ticks_platform.retry_after import retry_after as headers_retry_after

Kind = Literal["trades", "bars"]

RESULTS_PER_FRAME = 500
"""Results of a page in one frame. Few, since a frame that cannot be decoded is stored whole."""


class Span(NamedTuple):
    """A symbol in a half-open interval of event time."""

    symbol: str
    """The name that ticks carry."""
    asked: str
    """The provider's spelling, as in feeds.yaml: what is requested."""
    begin: int
    """Nanoseconds since the Unix epoch."""
    end: int


class HistoryRequest(NamedTuple):
    """A GET request. The headers carry the API key; the URL does not and may be logged."""

    url: str
    headers: dict[str, str]


class HistoryAnswer(NamedTuple):
    """A provider's response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Page(NamedTuple):
    """The content of one response."""

    frames: list[bytes]
    results: int
    cursor: str | None
    """Where the next page begins; None after the last page."""


class HistoryError(TicksPlatformError):
    """A response that is not a page. The message is the provider's reason, without a secret."""


class RateLimitedError(HistoryError):
    """Too many requests."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds
        """Seconds without a request."""


class TransientError(HistoryError):
    """A temporary failure: a retry may succeed."""


class NotYetAvailableError(HistoryError):
    """The provider, or this plan of it, has the data only later."""


class PermanentError(HistoryError):
    """The same request cannot succeed later."""


class NotEntitledError(PermanentError):
    """The plan does not include the data."""


class UnknownSymbolError(PermanentError):
    """The provider does not know the symbol."""


class KeyRefusedError(HistoryError, ActionRequiredError):
    """The provider refuses the API key: no request succeeds until the settings change."""


class History(abc.ABC):
    """One provider's API for past data. Attributes that depend on the plan have the smallest plan's values."""

    kind: Kind
    """Whether it has the ticks themselves, or the provider's one-minute bars instead."""

    requests_per_minute: int | None = None
    """Requests that the provider accepts per minute; None if it has no limit."""

    requests_per_day: int | None = None

    delay: float = 60.0
    """Seconds after an event until it can be requested."""

    reach_days: float = 365.0
    """Days back from now for which it has data."""

    since: float = 0.0
    """Earliest time for which it has data, in seconds since the Unix epoch."""

    lag: float = 0.0
    """Seconds between an event and its arrival, if the feed streams with a delay."""

    margin: float = 0.0
    """Seconds by which an interval of arrival times is widened on both sides to contain its event times."""

    joins_within: float = 0.0
    """Longest distance in seconds of two intervals that are fetched with one request."""

    results_per_page: int = 1_000
    """Results that one request brings at most."""

    has_corrections: bool = False
    """Whether its trades tell which of them were cancelled or corrected, so that a true-up has something to find."""

    @abc.abstractmethod
    def first(self, span: Span) -> str:
        """The cursor of the first page."""

    @abc.abstractmethod
    def request(self, span: Span, cursor: str) -> HistoryRequest:
        """The request for the page at this cursor."""

    @abc.abstractmethod
    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        """The page in the response to the request for this cursor. Raises a HistoryError."""

    def bars(self) -> History | None:
        """The provider's one-minute bars, beside the trades; None if there are none. Decodes the frames of both."""
        return self if self.kind == "bars" else None

    def outside_regular_hours(self) -> History | None:
        """The same data as it is requested outside of its market's regular hours; None if that makes no difference.

        What a plan has in regular hours only is then requested apart. Decodes the frames of both.
        """
        return None

    @abc.abstractmethod
    def decode(self, header: Header, results: list[msgspec.Raw]) -> list[Event]:
        """The events of a frame, at least one for each result, in order. Must not raise on bad input."""


class Header(msgspec.Struct, frozen=True):
    """The first line of a frame: the kind of its results, and the symbol, which not every response names."""

    history: str
    symbol: str


_encode = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(Header).decode
_decode_results = msgspec.json.Decoder(list[msgspec.Raw]).decode


def frames(header: Header, results: Iterable[msgspec.Raw]) -> list[bytes]:
    """Frames of these results, each with the provider's bytes."""
    given = list(results)
    first = _encode(header) + b"\n"
    return [
        first + b"[" + b",".join(map(bytes, given[begin : begin + RESULTS_PER_FRAME])) + b"]"
        for begin in range(0, len(given), RESULTS_PER_FRAME)
    ]


def decode(history: History, frame: bytes) -> list[Event]:
    """The events of a frame that `frames` made; `Rejected` for what cannot be decoded."""
    first, _, rest = frame.partition(b"\n")
    try:
        header, results = _decode_header(first), _decode_results(rest)
    except UNDECODABLE as error:
        return [Rejected(f"malformed history frame: {error}", frame)]
    return [_with_time(event, frame) for event in history.decode(header, results)]


def _with_time(event: Event, frame: bytes) -> Event:
    if getattr(event, "time", 0) == ARRIVAL:
        return Rejected("an event of the past needs a time of its own", frame)
    return event


def base_url(url: str, api: str, *domains: str) -> str:
    """Base URL of a feed's REST API: `api` for the provider's own domains, else the host of its WebSocket."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if any(host == domain or host.endswith(f".{domain}") for domain in domains):
        return api
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc.rpartition('@')[2]}"


def retry_after(answer: HistoryAnswer) -> float:
    """Seconds to wait after a 429: its Retry-After, a number or a date; else 60, since the limits are per minute."""
    seconds = headers_retry_after(answer.headers)
    return 60.0 if seconds is None else seconds


def is_page(answer: HistoryAnswer) -> bool:
    """Whether an error is a page for people, as a firewall or a balancer sends it: it says nothing of the request."""
    return answer.status != 200 and answer.body.lstrip()[:1] == b"<"
