"""Sections of ``feeds.yaml`` with settings of their own: of the stand-in, of a feed's journal and of its repair."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from ticks_platform.feeds.history import History
from ticks_platform.feeds.journal_copy import CopySettings
from ticks_platform.feeds.symbol_settings import Section


class StandInSettings(Section):
    """How the local feed server behaves."""

    rate: Annotated[float, Field(gt=0, le=1_000_000)] = 20.0
    """Ticks per second, of all symbols together."""
    seed: int = 7
    accept_any_symbol: bool = False
    """Whether it makes up a stock for each symbol that it does not know."""


class JournalSettings(Section):
    """The local log that keeps frames until they are committed."""

    # A model has a method `copy`. What is dumped is read again by the field's own name.
    model_config = ConfigDict(populate_by_name=True)

    max_megabytes: Annotated[int, Field(gt=0)] = 2048
    """Limit of what its files take on the disk; when it is reached, reading stops until frames are committed."""
    sync_milliseconds: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    """Milliseconds of frames that a power loss may lose; a crash of the process loses none."""
    copy_to: Annotated[CopySettings | None, Field(alias="copy")] = None
    """Where its frames are copied to while they wait, so that this machine and its disk can be lost; nowhere by
    default."""


class RepairSettings(Section):
    """How gaps are repaired from the provider's past data; the defaults fit the provider's smallest plan."""

    enabled: bool = True
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Requests in any 60 seconds, of all feeds with the same provider and key."""
    requests_per_day: Annotated[int, Field(ge=1)] | None = None
    """Requests in any 24 hours; each costs one credit of Twelve Data."""
    delay_seconds: Annotated[float, Field(ge=0)] | None = None
    """Age of an event from which the provider has it; younger events are requested later."""
    give_up_after_days: Annotated[float, Field(gt=0)] | None = None
    """Age of a gap from which it counts as unrepairable."""
    past_hours: Annotated[int, Field(ge=0, le=168)] = 0
    """Hours before a symbol was added, and the hour in which it was, whose trades are fetched, so that the first hours
    are whole. Hours in which the provider sends, each time that a symbol is added; none by default."""


def check_past(provider: str, history: History | None) -> None:
    """Raises ValueError where the provider has no trades that `past_hours` could fetch."""
    if history is None or history.kind != "trades":
        has = "none" if history is None else "minute bars alone"
        raise ValueError(
            f"past_hours needs past trades; of what this feed streams, provider {provider} has {has}: leave it out"
        )
