"""URLs of the stand-in's feeds."""

from __future__ import annotations

from urllib.parse import urlencode

from ticks_standin.polygon.events import PROVIDER as POLYGON
from ticks_standin.polygon.session import MARKETS
from ticks_standin.twelve_data.events import PROVIDER as TWELVE_DATA
from ticks_standin.twelve_data.session import KEY_PARAMETER, PATH

PROVIDERS = (TWELVE_DATA, POLYGON)


def http_url(host: str, port: int) -> str:
    """Base URL of what is served over HTTP."""
    return f"http://{_bracketed(host)}:{port}"


def provider_url(host: str, port: int, provider: str, key: str | None = None, market: str = "stocks") -> str:
    """WebSocket URL of a provider's feed, with the API key if one is given and the provider expects it in the URL.

    Polygon's clients send the key in a message; ``market`` is one of its markets.

    Raises:
        KeyError: if the stand-in does not speak that provider's protocol, or does not have that market.
    """
    base = f"ws://{_bracketed(host)}:{port}"
    if provider == POLYGON:
        if market not in MARKETS:
            raise KeyError(market)
        return f"{base}/{market}"
    if provider != TWELVE_DATA:
        raise KeyError(provider)
    query = "" if key is None else f"?{urlencode({KEY_PARAMETER: key})}"
    return f"{base}{PATH}{query}"


def provider_urls(host: str, port: int) -> dict[str, str]:
    """WebSocket URL of each provider's feed, without a key."""
    return {provider: provider_url(host, port, provider) for provider in PROVIDERS}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
