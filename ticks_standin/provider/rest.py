"""A REST API, as the server sees it: questions, answers, errors, rate limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

import msgspec
from websockets.datastructures import Headers

RestFaultKind = Literal["status", "error_in_200", "hang", "cut", "garbage", "short_page", "truncated"]


class RestFault(msgspec.Struct):
    """A fault of the next ``requests`` answers to requests whose path begins with ``path``; see ``fail_requests``."""

    kind: RestFaultKind
    requests: int
    path: str
    status: int
    seconds: float


class Question(NamedTuple):
    """One GET request; ``now_ms`` is in milliseconds of UNIX time. An API applies a ``fault`` that concerns pages."""

    path: str
    query: dict[str, str]
    base_url: str
    now_ms: int
    fault: RestFault | None = None


class Answer(msgspec.Struct, kw_only=True):
    """The answer; ``subject`` and the fields after it are for the account, see :class:`RestRequest`."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}
    subject: str = ""
    asked: dict[str, str] = {}
    results: int = 0
    begins_ns: int | None = None
    ends_ns: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None


class RefusedError(Exception):
    """The provider answers with an error.

    ``status`` is the HTTP status, ``message`` the provider's text, ``kind`` its name for the error if it has one.
    """

    def __init__(self, status: int, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind


class Api(Protocol):
    """One provider's REST API."""

    @property
    def provider(self) -> str:
        """Name of the provider."""

    def serves(self, path: str) -> bool:
        """Whether a path belongs to it."""

    def needs_history(self, path: str) -> bool:
        """Whether its answer is made of the events of the market."""

    def key(self, query: Mapping[str, str], headers: Headers) -> str | None:
        """The API key of a request."""

    def unauthorized(self, key: str | None) -> RefusedError:
        """The error for a key that is not accepted."""

    def admit(self, key: str, question: Question) -> dict[str, str]:
        """Charge a key for a question; returns the headers about it. Raises RefusedError over the limit."""

    def answer(self, question: Question) -> Answer:
        """The answer to a question. Raises RefusedError for an error."""

    def error(self, refused: RefusedError) -> Answer:
        """The provider's answer for an error."""


class Allowance:
    """How much each key has used in the current window of time; windows begin at multiples of their length.

    Twelve Data's quota is reset each minute; where Polygon's windows begin is not documented.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        """A ``limit`` of 0 means no limit."""
        self.limit = limit
        self._window_ms = max(round(window_s * 1_000), 1)
        self._window = 0
        self._used: dict[str, int] = {}

    def use(self, key: str, amount: int, now_ms: int) -> int:
        """Add ``amount``; returns how much has been used in this window, which may be over the limit."""
        window = now_ms // self._window_ms
        if window != self._window:
            self._window = window
            self._used.clear()
        self._used[key] = self._used.get(key, 0) + amount
        return self._used[key]
