"""Live market ticks into TimescaleDB, candles out of it, and proof that both are right; run and seen in Dagster.

`subscribe` is for those who use it as a library, without Dagster; see docs/connectors.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ticks_platform.subscribing import Change, Subscription, subscribe

__all__ = ["Change", "Subscription", "subscribe"]


def __getattr__(name: str) -> Any:
    # Imported when it is first asked for: every module of the package imports this one, and most need none of it.
    if name in __all__:
        return getattr(importlib.import_module("ticks_platform.subscribing"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
