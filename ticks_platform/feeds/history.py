"""What a provider tells of the past, free of I/O: which requests to make, and what their answers mean.

A connector that has such an interface returns a `History` from `Connector.history`. Pages of answers become frames,
which are journalled and decoded as those of a WebSocket are: a frame depends on nothing but itself. See
docs/connectors.md.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from ticks_platform.errors import ActionRequiredError, TicksPlatformError
from ticks_platform.feeds.events import Event, Rejected

Kind = Literal["trades", "bars"]

RESULTS_IN_A_FRAME = 500
"""Results of a page that go into one frame: one that is refused is kept with the bytes of its frame."""


class Span(NamedTuple):
    """A symbol in a half-open interval of event time."""

    symbol: str
    """As the ticks call it."""
    asked: str
    """As feeds.yaml has it: what the provider is asked for."""
    begin: int
    """Nanoseconds since the Unix epoch."""
    end: int


class HistoryRequest(NamedTuple):
    """A GET request. Its headers carry the API key, and its URL does not: that may be logged."""

    url: str
    headers: dict[str, str]


class HistoryAnswer(NamedTuple):
    """What a provider answered; the names of the headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Page(NamedTuple):
    """What one answer held."""

    frames: list[bytes]
    results: int
    cursor: str | None
    """Where the next page begins; None when this was the last one."""


class HistoryError(TicksPlatformError):
    """An answer that is no page. The message is the provider's reason, without any secret."""


class RateLimitedError(HistoryError):
    """The provider wants to be asked less often."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds
        """How long to ask nothing."""


class TransientError(HistoryError):
    """Trouble that may pass: asking again makes sense."""


class NotYetAvailableError(HistoryError):
    """The provider has, or gives to this plan, what is asked for only later."""


class PermanentError(HistoryError):
    """Asking again for the same cannot help."""


class NotEntitledError(PermanentError):
    """The plan does not include it."""


class UnknownSymbolError(PermanentError):
    """The provider does not know the symbol."""


class KeyRefusedError(HistoryError, ActionRequiredError):
    """The provider refuses the API key: nothing can be asked for until the settings change."""


class History(abc.ABC):
    """One provider's interface to the past. An attribute that a plan may change has the value of the smallest plan."""

    kind: Kind
    """Whether it brings the ticks themselves, or the provider's bars of one minute in their place."""

    requests_per_minute: int | None = None
    """How many requests the provider takes in a minute, or None where it sets no limit."""

    requests_per_day: int | None = None

    delay: float = 60.0
    """Seconds until an event can be asked for."""

    reach_days: float = 365.0
    """How many days back it goes."""

    since: float = 0.0
    """Where it begins at a certain moment: when, in seconds since the Unix epoch. Nothing that came before is in it."""

    lag: float = 0.0
    """Seconds by which the feed's events are older than their arrival, where it streams with a delay."""

    margin: float = 0.0
    """Seconds by which an interval of arrival is widened on both sides to hold the times of its events."""

    joins_within: float = 0.0
    """Seconds between two intervals up to which one request for both is better than one for each."""

    @abc.abstractmethod
    def first(self, span: Span) -> str:
        """The cursor of the first page."""

    @abc.abstractmethod
    def request(self, span: Span, cursor: str) -> HistoryRequest:
        """The request for the page at a cursor."""

    @abc.abstractmethod
    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        """What the answer to the request for a cursor holds. Raises one of HistoryError."""

    @abc.abstractmethod
    def decode(self, header: Header, results: list[msgspec.Raw]) -> list[Event]:
        """The events of a frame, one for each result, in order; never raises on bad input."""


class Header(msgspec.Struct, frozen=True):
    """The first line of a frame: what its results are and whose, since not every answer names the symbol."""

    history: str
    symbol: str


_encode = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(Header).decode
_decode_results = msgspec.json.Decoder(list[msgspec.Raw]).decode

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bad input."""


def frames(header: Header, results: Iterable[msgspec.Raw]) -> list[bytes]:
    """Results, each as the provider wrote it, as frames."""
    given = list(results)
    first = _encode(header) + b"\n"
    return [
        first + b"[" + b",".join(map(bytes, given[begin : begin + RESULTS_IN_A_FRAME])) + b"]"
        for begin in range(0, len(given), RESULTS_IN_A_FRAME)
    ]


def decode(history: History, frame: bytes) -> list[Event]:
    """The events of a frame that `frames` made; what cannot be decoded comes back as `Rejected`."""
    first, _, rest = frame.partition(b"\n")
    try:
        header, results = _decode_header(first), _decode_results(rest)
    except UNDECODABLE as error:
        return [Rejected(f"malformed frame of history: {error}", frame)]
    return history.decode(header, results)


def base_url(url: str, api: str, *domains: str) -> str:
    """Where a feed's history is: at `api` for the provider's own addresses, and else on the host of its WebSocket."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if any(host == domain or host.endswith(f".{domain}") for domain in domains):
        return api
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc.rpartition('@')[2]}"


def retry_after(answer: HistoryAnswer, otherwise: float) -> float:
    """Seconds that an answer asks to wait: its Retry-After where that is a number, or else the given ones."""
    value: Any = answer.headers.get("retry-after", "")
    try:
        return max(float(value), 0.0)
    except ValueError:
        return otherwise


def seconds_to_next_minute(answer: HistoryAnswer) -> float:
    """What a 429 implies where nothing is said: limits of a minute are over after a minute."""
    return retry_after(answer, 60.0)
