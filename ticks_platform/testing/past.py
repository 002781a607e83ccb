"""A provider's REST API on loopback, and the events that a connector's history has of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import Self

from ticks_platform.feeds.events import Event
from ticks_platform.feeds.history import History, Page, RateLimitedError, Span, TransientError, decode
from ticks_platform.feeds.transport.history_client import HistoryClient

Respond = Callable[[str], tuple[int, Any]]
"""The status and the body of the answer to a request for a target, such as ``/trades?after=7``. A body that is no bytes
is sent as JSON."""

_MOST_PAGES = 10_000
_ATTEMPTS = 4


class PastServer:
    """An HTTP server on loopback, within a ``with`` block. `failures` are answered first, one to a request."""

    def __init__(self, respond: Respond, failures: list[tuple[int, Any]] | None = None) -> None:
        self.asked: list[str] = []
        """The targets of all requests, in order."""
        self.failures = list(failures or ())
        self.error: Exception | None = None
        """What `respond` raised; the request was answered with 500."""
        self._respond = respond
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._asked))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="kit-past", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The WebSocket address whose host serves the API: a connector's `url`."""
        return f"ws://127.0.0.1:{self._server.server_port}"

    def answered(self, target: str) -> tuple[int, bytes]:
        """The status and the body of the answer to a target, without a request."""
        status, body = self._respond(target)
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()

    def _asked(self, target: str) -> tuple[int, bytes]:
        self.asked.append(target)
        if not self.failures:
            try:
                return self.answered(target)
            except Exception as error:  # noqa: BLE001  (told where the answer is waited for)
                self.error = error
                return 500, repr(error).encode()
        status, body = self.failures.pop(0)
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()


def fetch(history: History, span: Span) -> list[Event]:
    """All events of a span, page by page, as a repair fetches them, without its pauses.

    Raises a HistoryError after four attempts, or at once if a retry cannot succeed.
    """
    return [event for page in pages(history, span) for frame in page.frames for event in decode(history, frame)]


def pages(history: History, span: Span) -> Iterator[Page]:
    """The pages of a span, as `fetch` reads them."""
    cursor: str | None = history.first(span)
    read: set[str] = set()
    with closing(HistoryClient()) as client:
        for _ in range(_MOST_PAGES):
            if cursor is None:
                return
            assert cursor not in read, (
                f"the history does not end: after page {len(read)}, the next cursor is {cursor!r}, a page read before"
            )
            read.add(cursor)
            page = _page(history, span, cursor, client)
            yield page
            cursor = page.cursor
    raise AssertionError(f"the history does not end: {_MOST_PAGES} pages, and the next cursor is {cursor!r}")


def _page(history: History, span: Span, cursor: str, client: HistoryClient) -> Page:
    for _ in range(_ATTEMPTS - 1):
        with suppress(TransientError, RateLimitedError):
            return history.page(span, cursor, client.get(history.request(span, cursor)))
    return history.page(span, cursor, client.get(history.request(span, cursor)))


def _handler(answer: Callable[[str], tuple[int, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
