"""Who may ask: a browser on this machine, for this page. Other web sites that a person has open may not.

A site may let its own name point to 127.0.0.1 (DNS rebinding), so that its scripts could read what is served here: such
a request has that name in `Host`. A script of another origin has it in `Origin`, and browsers say in `Sec-Fetch-Site`
where a request without one comes from.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

HOSTS = frozenset(("127.0.0.1", "localhost", "::1"))

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Of every answer, unless it says another one."""

CHART_PATH = "/chart.svg"
"""A picture that other pages of this machine, such as Dagster's, may show; they cannot read it."""

ON_OTHER_PAGES = {"Cross-Origin-Resource-Policy": "cross-origin"}
"""Of that picture: `localhost` and `127.0.0.1` are two sites to a browser."""


class Guard:
    """Refuses what does not come from this page, and sets HEADERS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                given = MutableHeaders(scope=message)
                given.update({name: value for name, value in HEADERS.items() if name not in given})
            await send(message)

        status, reason = refusal(scope["method"], scope["path"], Headers(scope=scope))
        if not status:
            try:
                await self._app(scope, receive, send_guarded)
            except Exception:
                logger.exception("cannot serve %s", scope["path"])
                status, reason = 500, "this is a bug of the live page; its log has the traceback"
        if status and not begun:
            await _answer(send_guarded, status, reason)


def refusal(method: str, path: str, headers: Headers) -> tuple[int, str]:
    """Status and reason with which a request is refused; (0, "") if it is not."""
    host = headers.get("host", "")
    if _hostname(host) not in HOSTS:
        return 421, "ask for it as 127.0.0.1 or localhost: other names are refused, since any web site can have one"
    if method not in ("GET", "HEAD"):
        return 405, "this page only reads"
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return 403, "refused: another web site asks for this"
    # A link to the page may be anywhere, such as in Dagster's UI, which also shows the picture.
    is_picture_of_ours = path == CHART_PATH and _is_here(headers.get("referer", ""))
    if path != "/" and not is_picture_of_ours and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return 403, "refused: another web site asks for this"
    return 0, ""


def _is_here(referer: str) -> bool:
    """Whether a page of this machine has sent this request: another one cannot choose what it is called."""
    scheme, _, rest = referer.partition("://")
    return scheme in ("http", "https") and _hostname(rest.partition("/")[0]) in HOSTS


def _hostname(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path else (parts.hostname or "")


async def _answer(send: Send, status: int, reason: str) -> None:
    body = msgspec.json.encode({"error": reason})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
