"""Which connectors there are: those that come along, those that packages register, those that feeds.yaml names."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import entry_points

from ticks_platform.errors import TicksPlatformError
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector

ENTRY_POINTS = "ticks_platform.connectors"
"""The entry point group in which a package registers its connectors by the name of the provider."""

_OURS: dict[str, type[Connector]] = {"twelve_data": TwelveDataConnector, "polygon": PolygonConnector}


class UnknownProviderError(TicksPlatformError, ValueError):
    """There is no such connector, or it cannot be loaded; the message says why."""


def find_connector(provider: str) -> type[Connector]:
    """The connector of a provider: by name, or by the dotted name of its class, as in `my_feeds.kraken.Kraken`.

    Raises UnknownProviderError.
    """
    if provider in _OURS:
        return _OURS[provider]
    registered = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if provider not in registered and "." not in provider:
        names = ", ".join(sorted({*_OURS, *registered}))
        raise UnknownProviderError(f"there is no connector for it; there are: {names}; or name a class, as in a.b.C")
    try:
        if provider in registered:
            found = registered[provider].load()
        else:
            module, _, name = provider.rpartition(".")
            found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the module raises while it is imported
        raise UnknownProviderError(f"its connector cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Connector)) or inspect.isabstract(found):
        raise UnknownProviderError("what it names is not a subclass of ticks_platform.feeds.connector.Connector")
    return found
