"""Finds the connector of a provider: built in, registered by a package, or a class that feeds.yaml names."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import entry_points

from ticks_platform.errors import TicksPlatformError
from ticks_platform.feeds.alpaca.connector import Alpaca
from ticks_platform.feeds.binance.connector import Binance
from ticks_platform.feeds.coinbase.connector import Coinbase
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.kraken.connector import Kraken
from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.settings_file import did_you_mean

ENTRY_POINTS = "ticks_platform.connectors"
"""Entry point group in which a package registers connectors by provider name."""

_BUILT_IN: dict[str, type[Connector]] = {
    "twelve_data": TwelveDataConnector,
    "polygon": PolygonConnector,
    "coinbase": Coinbase,
}

_BUILT_IN_SINCE: dict[str, type[Connector]] = {"kraken": Kraken, "alpaca": Alpaca, "binance": Binance}
"""Built in since a release before which a package may have registered the name: that package keeps it."""


class UnknownProviderError(TicksPlatformError, ValueError):
    """No such connector, or it cannot be loaded; the message says why."""


def find_connector(provider: str) -> type[Connector]:
    """The connector of a provider: by name, or by the dotted name of its class, such as `my_feeds.kraken.Kraken`.

    Raises UnknownProviderError.
    """
    if provider in _BUILT_IN:
        return _BUILT_IN[provider]
    registered = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if provider not in registered and provider in _BUILT_IN_SINCE:
        return _BUILT_IN_SINCE[provider]
    if provider not in registered and "." not in provider:
        names = sorted({*_BUILT_IN, *_BUILT_IN_SINCE, *registered})
        raise UnknownProviderError(
            f"no connector has this name{did_you_mean(provider.lower(), names)}; known are: {', '.join(names)}; or "
            "give the dotted name of a class, such as a.b.C"
        )
    try:
        if provider in registered:
            found = registered[provider].load()
        else:
            module, _, name = provider.rpartition(".")
            found = getattr(importlib.import_module(module), name)
    except Exception as error:  # importing the module may raise anything
        raise UnknownProviderError(f"the connector cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Connector)) or inspect.isabstract(found):
        raise UnknownProviderError("this is not a concrete subclass of ticks_platform.feeds.connector.Connector")
    return found
