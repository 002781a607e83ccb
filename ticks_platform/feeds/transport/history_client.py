"""HTTP requests to a provider's API for past data."""

from __future__ import annotations

import requests

from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest, TransientError

TIMEOUTS = (10.0, 60.0)
"""Seconds to connect, and between two bytes of the response."""

MAX_BODY_BYTES = 64 << 20
"""Limit of a response; a page of trades has some 15 MB."""


class HistoryClient:
    """Keeps its connections open between requests. For one thread."""

    def __init__(self, timeouts: tuple[float, float] = TIMEOUTS) -> None:
        self._timeouts = timeouts
        self._session = requests.Session()
        # Without an auth, requests would replace the key by what .netrc has for the host.
        self._session.auth = _unchanged

    def get(self, request: HistoryRequest) -> HistoryAnswer:
        """The response to a request, with any status. Raises TransientError if there is none."""
        place = request.url.partition("?")[0]
        try:
            # A redirect would send the key to another address.
            with self._session.get(
                request.url, headers=request.headers, timeout=self._timeouts, stream=True, allow_redirects=False
            ) as answer:
                parts, size = [], 0
                for part in answer.iter_content(1 << 20):
                    parts.append(part)
                    size += len(part)
                    if size > MAX_BODY_BYTES:
                        raise TransientError(f"response of {place} is larger than {MAX_BODY_BYTES >> 20} MB")
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return HistoryAnswer(answer.status_code, headers, b"".join(parts))
        except (requests.RequestException, OSError) as error:
            raise TransientError(f"no response from {place}: {type(error).__name__}") from error

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _unchanged(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared
