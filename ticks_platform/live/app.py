"""The endpoints. All of them read; docs/live-page.md describes them for whoever wants to use them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ticks_platform.errors import TicksPlatformError
from ticks_platform.live import chart, library
from ticks_platform.live.guard import CHART_PATH, ON_OTHER_PAGES, Guard
from ticks_platform.live.hub import Hub, UnknownSymbolError
from ticks_platform.live.series import Key
from ticks_platform.live.trouble import BusyError, trouble
from ticks_platform.live.viewers import MOST, TooManyViewersError, Viewer
from ticks_platform.masking import mask
from ticks_platform.monitoring import exporter
from ticks_platform.timescale.candles.explanation import WIDTHS, NoAnswerError

STATIC = Path(__file__).parent / "static"

LIBRARY_PATH = "/vendor/lightweight-charts.mjs"

KEEP_ALIVE_SECONDS = 10.0
"""Seconds after which something is sent in any case, so that a connection that is gone is noticed."""

SEND_SECONDS = 15.0
"""Seconds in which a viewer has to take what was sent. One that does not is dropped."""

LAST_SECOND = 253_402_300_799
"""The end of the year 9999, beyond which no time is asked for."""

SEARCH_LIMIT = 50


class Static:
    """The files of the page, in memory: what may be asked for is what is there."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file()}
        self.version = hashlib.sha256(b"".join(self._files.values())).hexdigest()[:12]
        """Of all files; a page that was loaded from others loads itself again."""

    def page(self, request: Request) -> Response:
        """The page itself."""
        return self.answer(request, "index.html")

    def file(self, request: Request) -> Response:
        """A file of it."""
        return self.answer(request, request.path_params["name"])

    def answer(self, request: Request, name: str) -> Response:
        """A file, or 304 if the browser has it."""
        if name not in self._files:
            raise HTTPException(404, f"there is no file {name!r}")
        headers = {"ETag": f'"{self.version}"', "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(
            self._files[name], media_type="text/javascript" if name.endswith(".js") else kind, headers=headers
        )


class EventStream(Response):
    """What a viewer gets, until it leaves or the process ends."""

    def __init__(self, hub: Hub, viewer: Viewer) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._hub = hub
        self._viewer = viewer

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the viewer has left, is too slow, or the process ends."""
        left = asyncio.ensure_future(_left(receive, self._viewer))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send(send, b"retry: 1000\n\n")
            while (content := await self._viewer.next(KEEP_ALIVE_SECONDS)) is not None:
                if not await self._send(send, content or b": still here\n\n"):
                    return
            if not left.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            left.cancel()
            self._hub.viewers.remove(self._viewer)

    @staticmethod
    async def _send(send: Send, body: bytes) -> bool:
        sending = send({"type": "http.response.body", "body": body, "more_body": True})
        try:
            await asyncio.wait_for(sending, SEND_SECONDS)
        except asyncio.TimeoutError:
            return False
        return True


async def _left(receive: Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.end()


def create(hub: Hub, static: Static, all_feeds: exporter.AllFeeds) -> Starlette:
    """The application. Its lifespan runs the hub."""
    chart_library = _once(library.load)

    async def stream(request: Request) -> Response:
        symbol, interval = request.query_params.get("symbol"), _interval(request)
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        try:
            return EventStream(hub, hub.open(symbol, interval))
        except TooManyViewersError:
            raise HTTPException(503, f"{MOST} viewers look at this page already: close some of its tabs") from None

    async def status(_request: Request) -> Response:
        return _json({**hub.state(), "viewers": len(hub.viewers), "queries": hub.reader.queries})

    async def symbols(request: Request) -> Response:
        text = request.query_params.get("search", "")[:100]
        return _json({"symbols": await hub.search(text, SEARCH_LIMIT)})

    async def candles(request: Request) -> Response:
        before = request.query_params.get("before")
        return _json(await hub.history(_key(request), None if before is None else _second("before", before)))

    async def explain(request: Request) -> Response:
        at = _second("at", request.query_params.get("at", ""))
        return _json(await hub.explain(_key(request), at))

    async def picture(request: Request) -> Response:
        interval = _interval(request)
        try:
            keys = [Key(found["symbol"], interval) for found in await hub.search("", chart.SYMBOLS)]
            drawn = chart.svg(keys, [(await hub.history(key, None))["candles"] for key in keys])
        except (BusyError, psycopg2.Error, TicksPlatformError) as error:
            # Nobody would see the words of an image that fails.
            drawn = chart.words(f"the database is {trouble(error, '')['words']}")
        return Response(drawn, media_type="image/svg+xml", headers={"Cache-Control": "no-store", **ON_OTHER_PAGES})

    async def metrics(_request: Request) -> Response:
        return Response(await asyncio.to_thread(exporter.text, all_feeds), media_type=exporter.MEDIA_TYPE)

    async def vendor(request: Request) -> Response:
        headers = {"ETag": f'"{library.version()}"', "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(await chart_library(), media_type="text/javascript", headers=headers)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        polling = asyncio.ensure_future(hub.run())
        # The first viewer does not wait for npm.
        loading = asyncio.ensure_future(asyncio.wait({asyncio.ensure_future(chart_library())}))
        try:
            yield
        finally:
            polling.cancel()
            loading.cancel()
            await asyncio.wait({polling, loading}, timeout=1.0)
            hub.close()

    routes = [
        Route("/", static.page),
        Route("/static/{name}", static.file),
        Route(LIBRARY_PATH, vendor),
        Route("/api/stream", stream),
        Route("/api/status", status),
        Route("/api/symbols", symbols),
        Route("/api/candles", candles),
        Route("/api/explain", explain),
        Route(CHART_PATH, picture),
        Route("/metrics", metrics),
    ]
    # Starlette's own answer to a bug would tell the browser about it; the guard's does not.
    errors: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        HTTPException: _http_error,
        UnknownSymbolError: _unknown_symbol,
        NoAnswerError: _no_answer,
        BusyError: _busy,
        psycopg2.Error: _database_error,
        TicksPlatformError: _database_error,
    }
    return Starlette(routes=routes, middleware=[Middleware(Guard)], exception_handlers=errors, lifespan=lifespan)


def _once(load: Callable[[], bytes]) -> Callable[[], Awaitable[bytes]]:
    """Load something in a thread, once for all who ask; tried again after an error."""
    found: asyncio.Future[bytes] | None = None

    async def loaded() -> bytes:
        nonlocal found
        if found is None or (found.done() and (found.cancelled() or found.exception())):
            found = asyncio.ensure_future(asyncio.to_thread(load))
        return await asyncio.shield(found)

    return loaded


def _json(content: Any, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(content),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _interval(request: Request) -> str:
    interval = request.query_params.get("interval", "1m")
    if interval not in WIDTHS:
        raise HTTPException(400, f"interval has to be one of {', '.join(WIDTHS)}")
    return interval


def _key(request: Request) -> Key:
    symbol = request.query_params.get("symbol", "")
    if not symbol:
        raise HTTPException(400, "symbol is missing, as in ?symbol=AAPL&interval=1m")
    return Key(symbol, _interval(request))


def _second(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > LAST_SECOND:
        raise HTTPException(400, f"{name} has to be a time in whole seconds since 1970")
    return int(text)


async def _http_error(_request: Request, error: HTTPException) -> Response:
    return _json({"error": error.detail}, error.status_code)


async def _unknown_symbol(_request: Request, error: UnknownSymbolError) -> Response:
    hint = f"; did you mean {' or '.join(error.nearest)}?" if error.nearest else ""
    return _json({"error": f"no feed streams {error}, and there are no candles of it{hint}"}, 404)


async def _no_answer(_request: Request, error: NoAnswerError) -> Response:
    return _json({"error": str(error)}, 404)


async def _busy(_request: Request, _error: BusyError) -> Response:
    return _json({"error": "too many questions wait for the database; try again in some seconds"}, 503)


async def _database_error(request: Request, error: Exception) -> Response:
    if request.url.path == LIBRARY_PATH:
        return _json({"error": mask(str(error))}, 502)
    found = trouble(error, "")
    return _json({"error": mask(f"the database is {found['words']}: {found['detail']}")}, 503)
