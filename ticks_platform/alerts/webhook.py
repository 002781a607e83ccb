"""Posting a text to a webhook that understands Slack's JSON.

The standard library's client is used since it logs nothing: the address is the secret, and urllib3, which requests is
made of, writes its path to the log with every retry.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import NoReturn

from ticks_platform.errors import TicksPlatformError

VARIABLE = "TICKS_ALERT_WEBHOOK"
TIMEOUT = 5.0
PAUSES = (0.5, 2.0)
"""Seconds before each further attempt."""
LONGEST_TEXT = 3000
"""Characters; Slack cuts at 40,000, others refuse much less."""


class WebhookError(TicksPlatformError):
    """A text could not be posted. The message never has the webhook's address in it."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, and be taken for a success."""

    def redirect_request(self, *_arguments: object) -> None:
        return None


def post(url: str, text: str, *, timeout: float = TIMEOUT, pauses: tuple[float, ...] = PAUSES) -> None:
    """Post a text, with some attempts. Raises WebhookError."""
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 2] + " …"
    reason = ""
    for pause in (0.0, *pauses):
        time.sleep(pause)
        try:
            _post(url, json.dumps({"text": text}).encode(), timeout)
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"it answers HTTP {error.code}"
            if error.code != 429 and error.code < 500:
                _fail(reason)
        except ValueError:
            # What is wrong with the address would be quoted in the message.
            _fail("it is not an http:// or https:// URL")
        except (OSError, http.client.HTTPException) as error:
            # Their texts may quote the address; what they are says enough.
            cause = getattr(error, "reason", error)
            reason = f"{type(cause if isinstance(cause, Exception) else error).__name__}"
        else:
            return
    _fail(reason)


def _post(url: str, body: bytes, timeout: float) -> None:
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  (checked above)
    with urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout):
        pass


def _fail(reason: str) -> NoReturn:
    # Without a cause: a traceback would show it, and the address with it.
    raise WebhookError(f"the webhook of {VARIABLE} cannot be posted to: {reason}") from None
