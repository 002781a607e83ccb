"""Live market ticks into TimescaleDB, candles out of it, and proof that both are right; run and seen in Dagster.

What users call is here. Connector authors import `ticks_platform.connectors`. Everything is imported when it is first
asked for: ingestion needs no Dagster, and `subscribe` no database.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ticks_platform.component import Platform
    from ticks_platform.definitions import platform_definitions
    from ticks_platform.defs.common.changes import changed_buckets
    from ticks_platform.defs.common.executor import one_process
    from ticks_platform.defs.common.resources import DatabaseResource
    from ticks_platform.defs.imports.imported_files import imported_files
    from ticks_platform.defs.reading.candle_frames import CandleFrames
    from ticks_platform.defs.reading.changed_partitions import changed_partitions
    from ticks_platform.defs.reading.reader import ReaderResource
    from ticks_platform.defs.reading.when_proven import run_when_proven
    from ticks_platform.errors import ActionRequiredError, RetryableError, TicksPlatformError
    from ticks_platform.feeds.settings import SettingsError, load_settings
    from ticks_platform.ingestion.run import Ingestion
    from ticks_platform.reading import ReadingError, UnknownSymbolError, bars, candles, gaps, quotes, symbols, ticks
    from ticks_platform.subscribing import Change, Subscription, subscribe
    from ticks_platform.timescale.database import Database, DatabaseUnavailableError

__version__ = "0.2.0"

__all__ = [
    "ActionRequiredError",
    "CandleFrames",
    "Change",
    "Database",
    "DatabaseResource",
    "DatabaseUnavailableError",
    "Ingestion",
    "Platform",
    "ReaderResource",
    "ReadingError",
    "RetryableError",
    "SettingsError",
    "Subscription",
    "TicksPlatformError",
    "UnknownSymbolError",
    "__version__",
    "bars",
    "candles",
    "changed_buckets",
    "changed_partitions",
    "gaps",
    "imported_files",
    "load_settings",
    "one_process",
    "platform_definitions",
    "quotes",
    "run_when_proven",
    "subscribe",
    "symbols",
    "ticks",
]

_HOMES = {
    "ActionRequiredError": "errors",
    "CandleFrames": "defs.reading.candle_frames",
    "Change": "subscribing",
    "Database": "timescale.database",
    "DatabaseResource": "defs.common.resources",
    "DatabaseUnavailableError": "timescale.database",
    "Ingestion": "ingestion.run",
    "Platform": "component",
    "ReaderResource": "defs.reading.reader",
    "ReadingError": "reading",
    "RetryableError": "errors",
    "SettingsError": "feeds.settings",
    "Subscription": "subscribing",
    "TicksPlatformError": "errors",
    "UnknownSymbolError": "reading",
    "bars": "reading",
    "candles": "reading",
    "changed_buckets": "defs.common.changes",
    "changed_partitions": "defs.reading.changed_partitions",
    "gaps": "reading",
    "imported_files": "defs.imports.imported_files",
    "load_settings": "feeds.settings",
    "one_process": "defs.common.executor",
    "platform_definitions": "definitions",
    "quotes": "reading",
    "run_when_proven": "defs.reading.when_proven",
    "subscribe": "subscribing",
    "symbols": "reading",
    "ticks": "reading",
}
"""The module that each name is imported from."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
