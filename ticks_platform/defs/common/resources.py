"""Resources: the database and the ingestion, configured once, for assets, checks, jobs, sensors and schedules."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import psycopg2
import psycopg2.errors
from pydantic import Field

from ticks_platform.defs.common.project import feeds_file
from ticks_platform.feeds.history import History
from ticks_platform.feeds.settings import STAND_IN, FeedSettings, PlatformSettings, SettingsError, load_settings
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.paths import state_dir
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_standin import StandInDaemon, StandInSettings, daemon

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_URL_VARIABLE = "TICKS_DATABASE_URL"

STAND_IN_HISTORY = 100_000
"""Events that the stand-in of a feed keeps for repair, in some 80 MB: the last 80 minutes at 20 a second."""

# psycopg2 raises InterfaceError when it rolls back on a connection that was lost in the middle of a transaction.
UNREACHABLE = (
    DatabaseUnavailableError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    psycopg2.errors.ReadOnlySqlTransaction,
)
"""What is raised while the database is away: a reason for a sensor or a schedule to skip, not to fail."""


class DatabaseResource(dg.ConfigurableResource[None]):
    """The TimescaleDB that holds ticks and candles."""

    url: str | None = Field(
        default=None,
        description=f"postgresql:// URL, from {_URL_VARIABLE}. Unset: the embedded TimescaleDB, started when needed.",
    )

    @classmethod
    def from_environment(cls) -> "DatabaseResource":
        """Configured by TICKS_DATABASE_URL; its value, which may hold a password, is never shown."""
        return cls(url=dg.EnvVar(_URL_VARIABLE) if os.environ.get(_URL_VARIABLE) else None)

    @property
    def database(self) -> Database:
        """The database itself."""
        return Database(self.url)

    def transaction(self) -> "AbstractContextManager[Cursor]":
        """One transaction on a connection of its own."""
        return self.database.transaction()

    def autocommit(self) -> "AbstractContextManager[Cursor]":
        """A connection outside of any transaction."""
        return self.database.autocommit()


class IngestionResource(dg.ConfigurableResource[None]):
    """Streams feeds into the database."""

    database: DatabaseResource
    feeds_file: str = Field(description="Path of feeds.yaml.")

    def settings(self, feed: str) -> PlatformSettings:
        """What feeds.yaml says about one feed. Raises SettingsError."""
        settings = load_settings(Path(self.feeds_file))
        return settings.model_copy(update={"feeds": (settings.feed(feed),)})

    def current(self, settings: PlatformSettings) -> PlatformSettings | None:
        """What feeds.yaml says now about the feed of these settings; None when the feed is no longer in it.

        A file that cannot be read, such as one half written, changes nothing.
        """
        (feed,) = settings.feeds
        try:
            current = load_settings(Path(self.feeds_file))
        except SettingsError:
            return settings
        known = [other for other in current.feeds if other.name == feed.name]
        return current.model_copy(update={"feeds": (known[0],)}) if known else None

    @contextmanager
    def stream(self, settings: PlatformSettings, *, owner: str, follow: bool = False) -> Iterator[Ingestion]:
        """Stream a feed for as long as the context lasts; leaving it commits what was received.

        With `follow`, the present owner of the feed continues until this one is ready to take over.

        A feed whose endpoint is the stand-in gets one of its own, or the one of its last run, which continues for some
        minutes without a client. Raises SettingsError.
        """
        (feed,) = settings.feeds
        stand_in_url = None
        if feed.endpoint == STAND_IN:
            stand_in_settings = StandInSettings(
                rate=settings.stand_in.rate,
                seed=settings.stand_in.seed,
                accept_any_symbol=settings.stand_in.accept_any_symbol,
                history_events=STAND_IN_HISTORY,
                # A run and its successor may have a connection per symbol each.
                max_connections=1_000,
            )
            stand_in_url = _url(feed, daemon.ensure_running(stand_in_file(feed.name), stand_in_settings))
        connector = feed.connector(stand_in_url=stand_in_url)
        with Ingestion(
            feed=feed, connector=connector, database=self.database.database, owner=owner, follow=follow
        ) as ingestion:
            yield ingestion

    def history(self, feed: FeedSettings) -> History | None:
        """The history that a feed's provider offers; None where it offers none.

        Raises SettingsError when it needs an API key that is missing, or a stand-in that does not run.
        """
        if feed.endpoint != STAND_IN:
            return feed.history()
        stand_in = daemon.find(stand_in_file(feed.name))
        history = feed.history(stand_in_url=None if stand_in is None else _url(feed, stand_in))
        if history is not None and stand_in is not None:
            history.since = stand_in.history_since_ms / 1_000
        return history


@dg.definitions
def resources() -> dg.Definitions:
    """The resources, and the executor: one process a run takes half the memory and start time of Dagster's default."""
    database = DatabaseResource.from_environment()
    ingestion = IngestionResource(database=database, feeds_file=str(feeds_file()))
    return dg.Definitions(resources={"database": database, "ingestion": ingestion}, executor=dg.in_process_executor)


def stand_in_file(feed: str) -> Path:
    """The file that says where the stand-in of a feed listens."""
    return state_dir() / "stand-in" / f"{feed}.json"


def _url(feed: FeedSettings, stand_in: StandInDaemon) -> str:
    # Where a provider serves each of its markets under an address of its own, the feed says which one it wants.
    market = {"market": feed.options["market"]} if "market" in feed.options else {}
    try:
        return stand_in.url(feed.provider, key=None, **market)
    except KeyError:
        raise SettingsError(f"feed '{feed.name}': the stand-in does not speak for provider '{feed.provider}'") from None
