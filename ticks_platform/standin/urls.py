"""Where the stand-in's feeds are found."""

from __future__ import annotations

from urllib.parse import urlencode

from ticks_platform.standin import twelve_data

_PATHS = {"twelve_data": (twelve_data.PATH, twelve_data.KEY_PARAMETER)}


def http_url(host: str, port: int) -> str:
    """Base URL of what is served over HTTP."""
    return f"http://{_bracketed(host)}:{port}"


def provider_url(host: str, port: int, provider: str, key: str | None = None) -> str:
    """WebSocket URL of a provider's feed, with the API key if one is given.

    Raises:
        KeyError: if the stand-in does not speak that provider's protocol.
    """
    path, parameter = _PATHS[provider]
    query = "" if key is None else f"?{urlencode({parameter: key})}"
    return f"ws://{_bracketed(host)}:{port}{path}{query}"


def provider_urls(host: str, port: int) -> dict[str, str]:
    """WebSocket URL of each provider's feed, without a key."""
    return {provider: provider_url(host, port, provider) for provider in _PATHS}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
