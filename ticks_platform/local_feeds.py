"""Connectors and histories of feeds, with a stand-in where that is a feed's endpoint."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.corporate_actions import CorporateActions
from ticks_platform.feeds.history import History
from ticks_platform.feeds.reference import Reference
from ticks_platform.feeds.settings import STAND_IN, FeedSettings, PlatformSettings, SettingsError
from ticks_platform.paths import state_dir

HISTORY_EVENTS = 100_000
"""Events that the stand-in of a feed keeps for repair, in some 80 MB: the last 80 minutes at 20 a second."""

MAX_CONNECTIONS = 1_000
"""Connections of a run and of its successor, which may be as many as there are symbols."""

_BEGUN_S = 4200
"""Seconds of the hour that has begun, with some for a start that takes long."""


class _Server(Protocol):
    def url(self, provider: str = ..., key: str | None = ..., market: str = ...) -> str: ...


def connector(settings: PlatformSettings, feed: FeedSettings) -> Connector:
    """The connector of a feed. One whose endpoint is the stand-in gets a stand-in of its own.

    That is a process which outlives the feed's run by some minutes: the next run finds it. One that is killed is
    started again. Raises SettingsError, and ticks_standin's StandInError when it does not start.
    """
    if feed.endpoint != STAND_IN:
        return feed.connector()
    from ticks_standin import StandInError, StandInSettings, daemon  # only those who want it pay for importing a server

    hours = feed.repair.past_hours
    wanted = StandInSettings(
        **settings.stand_in.model_dump(),
        history_events=HISTORY_EVENTS,
        max_connections=MAX_CONNECTIONS,
        # Whole hours, and the one that has begun.
        past_s=hours * 3600 + _BEGUN_S if hours else 0,
        # A new project has no warning before anything is wrong.
        polygon_unknown_conditions=feed.provider != "polygon",
    )

    def started() -> str:
        return stand_in_url(feed, daemon.ensure_running(stand_in_file(feed.name), wanted))

    def find_url() -> str:
        # It may have been killed: then another one is started.
        with contextlib.suppress(StandInError, OSError):
            return started()
        return found.url

    found = feed.connector(stand_in_url=started())
    found.find_url = find_url
    return found


def history(feed: FeedSettings) -> History | None:
    """What can be asked of a feed's provider about the past; None where nothing can.

    Raises SettingsError when that needs an API key that is missing, or a stand-in that does not run.
    """
    if feed.endpoint != STAND_IN:
        return feed.history()
    from ticks_standin import daemon

    stand_in = daemon.find(stand_in_file(feed.name))
    found = feed.history(stand_in_url=None if stand_in is None else stand_in_url(feed, stand_in))
    if found is not None and stand_in is not None:
        found.since = stand_in.history_since_ms / 1_000
    return found


def reference(feed: FeedSettings) -> Reference | None:
    """Where a feed's provider is asked what it knows of instruments; None if it cannot be. Raises SettingsError."""
    if feed.endpoint != STAND_IN:
        return feed.connector().reference()
    from ticks_standin import daemon

    stand_in = daemon.find(stand_in_file(feed.name))
    return None if stand_in is None else feed.connector(stand_in_url=stand_in_url(feed, stand_in)).reference()


def corporate_actions(feed: FeedSettings) -> CorporateActions | None:
    """Where a feed's provider is asked for splits and dividends; None where it has none. Raises SettingsError."""
    if feed.endpoint != STAND_IN:
        return feed.connector().corporate_actions()
    from ticks_standin import daemon

    stand_in = daemon.find(stand_in_file(feed.name))
    url = None if stand_in is None else stand_in_url(feed, stand_in)
    return feed.connector(stand_in_url=url).corporate_actions()


def stand_in_file(feed: str) -> Path:
    """The file that says where the stand-in of a feed listens."""
    return state_dir() / "stand-in" / f"{feed}.json"


def stand_in_url(feed: FeedSettings, server: _Server) -> str:
    """Where a stand-in serves what the feed wants. Raises SettingsError when it does not speak for the provider."""
    # Polygon serves each of its markets under an address of its own.
    market = {"market": feed.options["market"]} if "market" in feed.options else {}
    try:
        return server.url(feed.provider, key=None, **market)
    except KeyError:
        raise SettingsError(f"feed '{feed.name}': the stand-in does not support provider '{feed.provider}'") from None
