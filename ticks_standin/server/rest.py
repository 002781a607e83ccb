"""Serves the REST APIs of both providers, on the same port as their WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from ticks_standin.account import RestRequest
from ticks_standin.market.history import History, now_ms
from ticks_standin.market.listings import Listings
from ticks_standin.polygon.rest import PolygonApi
from ticks_standin.provider.keys import Keys
from ticks_standin.provider.rest import Answer, Api, Question, RefusedError, RestFault
from ticks_standin.settings import StandInSettings
from ticks_standin.twelve_data.rest import CONSTRUCTOR, TwelveDataApi
from ticks_standin.twelve_data.session import KEY_PARAMETER
from ticks_standin.urls import http_url

_REQUESTS_KEPT = 10_000
_GARBAGE = b"<html><body>Bad Gateway</body></html>"
_KEY_PARAMETERS = (KEY_PARAMETER, "apiKey")


class RestApis:
    """Answers requests, with faults on command, and remembers them."""

    def __init__(self, settings: StandInSettings, keys: Keys, listings: Listings, history: History) -> None:
        self._keys = keys
        self._history = history
        self._apis: list[TwelveDataApi | PolygonApi] = [
            TwelveDataApi(settings, listings, history),
            PolygonApi(settings, listings, history),
        ]
        self._faults: list[RestFault] = []
        self._requests: deque[RestRequest] = deque(maxlen=_REQUESTS_KEPT)
        self._number = 0
        self._stopped = asyncio.Event()

    def fail(self, fault: RestFault) -> None:
        """Answer requests to come with this fault; of several that match, the oldest comes first."""
        self._faults.append(fault)

    def heal(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def delay(self, seconds: float, provider: str | None) -> None:
        """Serve the newest data with another delay: of one provider, or of both if it is None."""
        for api in self._apis:
            if provider in (None, api.provider):
                api.delay_s = seconds

    def requests(self, path: str = "") -> list[RestRequest]:
        """The last requests, up to 10,000, whose path begins with ``path``, without those of clients' constructors."""
        return [request for request in self._requests if request.path.startswith(path)]

    def stop(self) -> None:
        """Send the answers that are being held back."""
        self._stopped.set()

    async def respond(self, request: Request, address: tuple[str, int]) -> Response | None:
        """The answer to a GET request; None if its path belongs to no REST API."""
        url = urlsplit(request.path)
        path, query = unquote(url.path), dict(parse_qsl(url.query))
        api = next((api for api in self._apis if api.serves(path)), None)
        if api is None:
            return None
        host = request.headers.get("Host")
        asked = Question(path, query, f"http://{host}" if host else http_url(*address), now_ms())
        question = asked._replace(fault=self._due_fault(path))
        answer = self._answer(api, question, api.key(query, request.headers))
        if path != CONSTRUCTOR:
            self._remember(api, question, answer)
        if question.fault is not None:
            return await self._spoiled(question.fault, answer)
        return http_response(answer.status, answer.body, answer.headers)

    def _due_fault(self, path: str) -> RestFault | None:
        for fault in self._faults:
            if path.startswith(fault.path) and path != CONSTRUCTOR:
                fault.requests -= 1
                self._faults = [each for each in self._faults if each.requests > 0]
                return fault
        return None

    def _answer(self, api: Api, question: Question, key: str | None) -> Answer:
        fault, charged = question.fault, {}
        try:
            # The official client's constructor asks with any key, and fails where that is refused.
            if question.path != CONSTRUCTOR and not (key and self._keys.accepts(key)):
                raise api.unauthorized(key)
            if not self._history.kept and api.needs_history(question.path):
                # An empty answer would be wrong: a repair would close its gap.
                raise RefusedError(501, "The stand-in keeps no history: set history_events above 0.")  # noqa: TRY301
            charged = api.admit(key or "", question)
            if fault is not None and fault.kind in ("status", "error_in_200"):
                raise RefusedError(fault.status, f"The stand-in was told to answer with {fault.status}.")  # noqa: TRY301
            answer = api.answer(question)
        except RefusedError as refused:
            answer = api.error(refused)
            if fault is not None and fault.kind == "error_in_200":
                answer.status = 200
        answer.headers = answer.headers | charged
        return answer

    def _remember(self, api: Api, question: Question, answer: Answer) -> None:
        self._number += 1
        self._requests.append(
            RestRequest(
                number=self._number,
                at_ms=question.now_ms,
                provider=api.provider,
                path=question.path,
                subject=answer.subject,
                asked=answer.asked or {n: v for n, v in question.query.items() if n not in _KEY_PARAMETERS},
                status=answer.status,
                fault=question.fault.kind if question.fault is not None else "",
                results=answer.results,
                begins_ns=answer.begins_ns,
                ends_ns=answer.ends_ns,
                first_ns=answer.first_ns,
                last_ns=answer.last_ns,
            )
        )

    async def _spoiled(self, fault: RestFault, answer: Answer) -> Response:
        match fault.kind:
            case "hang":
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), fault.seconds)
            case "garbage":
                return http_response(200, _GARBAGE, content_type="text/html")
            case "cut":
                whole = http_response(answer.status, answer.body, answer.headers)
                whole.body = answer.body[: len(answer.body) // 2]
                return whole
        return http_response(answer.status, answer.body, answer.headers)


def http_response(
    status: int, body: bytes, headers: dict[str, str] | None = None, content_type: str = "application/json"
) -> Response:
    """An HTTP response after which the connection is closed."""
    given = {"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    return Response(status, HTTPStatus(status).phrase, Headers(given), body)
