"""HTTP requests to a provider's API for past data."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator

import requests
import urllib3

from ticks_platform import proxies
from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest, RateLimitedError, TransientError
from ticks_platform.retry_after import retry_after

TIMEOUTS = (10.0, 60.0)
"""Seconds to connect, and between two bytes of the response."""

MAX_SECONDS = 300.0
"""Seconds for a whole response: one that comes byte by byte never exceeds the timeout between two."""

MAX_BODY_BYTES = 64 << 20
"""Limit of a response, before and after it is decompressed; a page of trades has some 15 MB."""

_PART = 1 << 16
"""Bytes per read, and per step of decompression: a small part of a gzip body may hold a thousand times its size."""


class HistoryClient:
    """Keeps its connections open between requests. For one thread."""

    def __init__(self, timeouts: tuple[float, float] = TIMEOUTS) -> None:
        self._timeouts = timeouts
        self._session = requests.Session()
        # What `_decompressed` reads.
        self._session.headers["Accept-Encoding"] = "gzip, deflate"
        # Without an auth, requests would replace the key by what .netrc has for the host.
        self._session.auth = _unchanged

    def get(self, request: HistoryRequest) -> HistoryAnswer:
        """The response to a request, with any status.

        Raises TransientError if there is none, or if it is too large; RateLimitedError if the server is unavailable and
        says for how long.
        """
        place = request.url.partition("?")[0]
        through = proxies.through(request.url)
        try:
            # A redirect would send the key to another address.
            with self._session.get(
                request.url,
                headers=request.headers,
                timeout=self._timeouts,
                stream=True,
                allow_redirects=False,
                # Loopback is dialled directly, whatever the environment says.
                proxies=None if proxies.proxy_for(request.url) else {"no_proxy": "*"},
            ) as answer:
                body = bytearray()
                for part in _decompressed(answer):
                    body += part
                    if len(body) > MAX_BODY_BYTES:
                        raise TransientError(f"response of {place} is larger than {MAX_BODY_BYTES >> 20} MB{through}")
                headers = {name.lower(): value for name, value in answer.headers.items()}
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, zlib.error) as error:
            raise TransientError(f"no response from {place}: {type(error).__name__}{through}") from error
        pause = retry_after(headers)
        if answer.status_code >= 500 and pause is not None:
            message = f"{place} answered {answer.status_code} and asks for a pause of {pause:.0f} s{through}"
            raise RateLimitedError(message, seconds=pause)
        return HistoryAnswer(answer.status_code, headers, bytes(body))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _received(answer: requests.Response) -> Iterator[bytes]:
    """The body as it was sent, part by part. Raises what urllib3 raises, and TimeoutError after MAX_SECONDS."""
    deadline = time.monotonic() + MAX_SECONDS
    while part := answer.raw.read1(_PART, decode_content=False):
        yield part
        if time.monotonic() > deadline:
            raise TimeoutError


def _decompressed(answer: requests.Response) -> Iterator[bytes]:
    """The body in parts of at most _PART bytes. Raises zlib.error if it is not what its headers say."""
    coding = answer.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        yield from _received(answer)
        return
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise zlib.error(coding)
    # 32: either a gzip or a zlib header. Some servers send deflate without a header.
    decoder = zlib.decompressobj(32 + zlib.MAX_WBITS)
    is_first = True
    for part in _received(answer):
        if is_first and coding == "deflate" and part[0] & 0x0F != 8:
            decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        is_first = False
        while part:
            yield decoder.decompress(part, _PART)
            part = decoder.unconsumed_tail
            if decoder.eof and decoder.unused_data:
                # A gzip body may have several members.
                part, decoder = decoder.unused_data, zlib.decompressobj(32 + zlib.MAX_WBITS)
    yield decoder.flush(_PART)
    if not is_first and not decoder.eof:
        raise zlib.error("incomplete")


def _unchanged(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared
