"""Posts a text to a webhook that accepts Slack's JSON.

Uses the standard library's HTTP client, which logs nothing: the URL is a secret, and urllib3 (in requests) logs its
path with every retry.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import NoReturn

from ticks_platform import proxies
from ticks_platform.errors import TicksPlatformError
from ticks_platform.masking import mask
from ticks_platform.retry_after import retry_after

VARIABLE = "TICKS_ALERT_WEBHOOK"
TIMEOUT = 10.0
"""Seconds for each part of an attempt: the connection, and the answer."""
PAUSES = (0.5, 2.0)
"""Seconds before each retry, or more where the service says so."""
LONGEST_PAUSE = 10.0
"""Seconds. A service that asks for more is not asked again now: the sensor posts again later."""
LONGEST_TEXT = 3000
"""Characters. Slack truncates at 40,000; other services reject much shorter texts."""


class WebhookError(TicksPlatformError):
    """A text could not be posted. The message never contains the webhook's URL."""

    pause = 0.0
    """Seconds without a message that the service has asked for."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Rejects redirects: a redirected POST would become a GET, and look like a success."""

    def redirect_request(self, *_arguments: object) -> None:
        return None


def post(url: str, text: str, *, timeout: float = TIMEOUT, pauses: tuple[float, ...] = PAUSES) -> None:
    """Post a text, with retries. Raises WebhookError."""
    text = mask(text)
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 2] + " …"
    reason, asked = "", 0.0
    for pause in (0.0, *pauses):
        if asked > LONGEST_PAUSE:
            break
        time.sleep(max(pause, asked))
        asked = 0.0
        try:
            _post(url, json.dumps({"text": text}).encode(), timeout)
        except urllib.error.HTTPError as error:
            asked = retry_after({name.lower(): value for name, value in error.headers.items()}) or 0.0
            error.close()
            wait = f", which asks for {asked:.0f} s without messages" if asked else ""
            reason = f"HTTP {error.code}{wait}{proxies.through(url)}"
            if error.code != 429 and error.code < 500:
                _fail(reason)
        except ValueError:
            # The exception's message would quote the URL.
            _fail("not a valid http:// or https:// URL")
        except TimeoutError:
            # It has the text, and may have taken it: not another one at once. A connection's is a URLError.
            _fail(f"no answer within {timeout:g} s{proxies.through(url)}")
        except (OSError, http.client.HTTPException) as error:
            # Only the type: the message may quote the URL.
            cause = getattr(error, "reason", error)
            if isinstance(cause, TimeoutError):
                # Each attempt would take as long, while other sensors wait for their turn.
                _fail(f"no connection within {timeout:g} s{proxies.through(url)}")
            reason = f"{type(cause if isinstance(cause, Exception) else error).__name__}{proxies.through(url)}"
        else:
            return
    _fail(reason, pause=asked)


def _post(url: str, body: bytes, timeout: float) -> None:
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  (checked above)
    # urllib would send loopback through a proxy of the environment too.
    direct = [] if proxies.proxy_for(url) else [urllib.request.ProxyHandler({})]
    with urllib.request.build_opener(_NoRedirects, *direct).open(request, timeout=timeout):
        pass


def _fail(reason: str, *, pause: float = 0.0) -> NoReturn:
    error = WebhookError(f"cannot post to the webhook in {VARIABLE}: {reason}")
    error.pause = pause
    # Without a cause: its traceback would show the URL.
    raise error from None
