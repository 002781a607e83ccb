"""Where the stand-in's feeds are found."""

from __future__ import annotations

from urllib.parse import urlencode

from ticks_standin import polygon, twelve_data
from ticks_standin.polygon_events import PROVIDER as POLYGON

PROVIDERS = (twelve_data.PROVIDER, POLYGON)


def http_url(host: str, port: int) -> str:
    """Base URL of what is served over HTTP."""
    return f"http://{_bracketed(host)}:{port}"


def provider_url(host: str, port: int, provider: str, key: str | None = None, market: str = "stocks") -> str:
    """WebSocket URL of a provider's feed, with the API key if one is given and the provider takes it there.

    Polygon's clients send the key in a message; ``market`` is one of its markets.

    Raises:
        KeyError: if the stand-in does not speak that provider's protocol, or does not have that market.
    """
    base = f"ws://{_bracketed(host)}:{port}"
    if provider == POLYGON:
        if market not in polygon.MARKETS:
            raise KeyError(market)
        return f"{base}/{market}"
    if provider != twelve_data.PROVIDER:
        raise KeyError(provider)
    query = "" if key is None else f"?{urlencode({twelve_data.KEY_PARAMETER: key})}"
    return f"{base}{twelve_data.PATH}{query}"


def provider_urls(host: str, port: int) -> dict[str, str]:
    """WebSocket URL of each provider's feed, without a key."""
    return {provider: provider_url(host, port, provider) for provider in PROVIDERS}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
