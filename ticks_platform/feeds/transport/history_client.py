"""Requests to a provider's history, by HTTP."""

from __future__ import annotations

import requests

from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest, TransientError

TIMEOUTS = (10.0, 60.0)
"""Seconds to connect, and without a byte of the answer."""

MOST_BYTES = 64 << 20
"""An answer that is larger is none: a page of trades has some 15 MB."""


class HistoryClient:
    """A session that keeps its connections; for one thread."""

    def __init__(self, timeouts: tuple[float, float] = TIMEOUTS) -> None:
        self._timeouts = timeouts
        self._session = requests.Session()
        # Without one, a .netrc that knows the host would take the place of the key.
        self._session.auth = _as_it_is

    def get(self, request: HistoryRequest) -> HistoryAnswer:
        """Ask, and return the answer, whatever its status. Raises TransientError when there is none."""
        place = request.url.partition("?")[0]
        try:
            # A redirection would take the key along to wherever it leads.
            with self._session.get(
                request.url, headers=request.headers, timeout=self._timeouts, stream=True, allow_redirects=False
            ) as answer:
                parts, size = [], 0
                for part in answer.iter_content(1 << 20):
                    parts.append(part)
                    size += len(part)
                    if size > MOST_BYTES:
                        raise TransientError(f"the answer of {place} is larger than {MOST_BYTES >> 20} MB")
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return HistoryAnswer(answer.status_code, headers, b"".join(parts))
        except (requests.RequestException, OSError) as error:
            raise TransientError(f"no answer of {place}: {type(error).__name__}") from error

    def close(self) -> None:
        """Close its connections."""
        self._session.close()


def _as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared
