"""Where a feed connects to: what `endpoint` in feeds.yaml may be."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

STAND_IN = "stand-in"
"""The endpoint of the local feed server with synthetic prices."""

_SECRET_IN_URL = re.compile(r"api[_-]?key|token=", re.IGNORECASE)


def check_endpoint(value: str) -> None:
    """Raises ValueError, which never quotes the value: a key may have been pasted here."""
    if value in ("live", STAND_IN):
        return
    if not value.startswith(("ws://", "wss://")):
        raise ValueError(f"must be 'live', '{STAND_IN}', or a URL that begins with ws:// or wss://")
    if "@" in value or _SECRET_IN_URL.search(value):
        raise ValueError("must not contain a secret: name the API key's environment variable in api_key_env")
    if not _has_host_and_port(value):
        raise ValueError("must be a URL with a valid host and port")


def _has_host_and_port(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
