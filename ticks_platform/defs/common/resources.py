"""Resources: the database and the ingestion, configured once, for assets, checks, jobs, sensors and schedules."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import psycopg2
import psycopg2.errors
from pydantic import Field

from ticks_platform import local_feeds
from ticks_platform.defs.common.project import feeds_file
from ticks_platform.feeds.corporate_actions import CorporateActions
from ticks_platform.feeds.history import History
from ticks_platform.feeds.reference import Reference
from ticks_platform.feeds.settings import FeedSettings, PlatformSettings, load_settings
from ticks_platform.feeds.settings_watch import SettingsWatch, only
from ticks_platform.ingestion.reference import stored
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale import tables
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_URL_VARIABLE = "TICKS_DATABASE_URL"

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

    def group(self, feeds: Sequence[str]) -> PlatformSettings:
        """What feeds.yaml says about those of these feeds that it still has. Raises SettingsError."""
        return only(load_settings(Path(self.feeds_file)), feeds)

    def ingestion(self, settings: PlatformSettings, feed: FeedSettings, *, owner: str, follow: bool) -> Ingestion:
        """The ingestion of one feed, which is not started. Raises SettingsError."""
        connector = local_feeds.connector(settings, feed)
        return Ingestion(feed=feed, connector=connector, database=self.database.database, owner=owner, follow=follow)

    def feeds(self) -> list[str]:
        """The feeds of feeds.yaml. Raises SettingsError."""
        return [feed.name for feed in load_settings(Path(self.feeds_file)).feeds]

    def watch(self, say: Callable[[int, str], object], *, meanwhile: str) -> SettingsWatch:
        """What looks at feeds.yaml while feeds are streamed, and says where it cannot be read."""
        return SettingsWatch(Path(self.feeds_file), say, meanwhile=meanwhile)

    @contextmanager
    def stream(self, settings: PlatformSettings, *, owner: str, follow: bool = False) -> Iterator[Ingestion]:
        """Stream a feed for as long as the context lasts; leaving it commits what was received.

        With `follow`, the present owner of the feed continues until this one is ready to take over.

        A feed whose endpoint is the stand-in gets one of its own, or the one of its last run, which continues for some
        minutes without a client. Raises SettingsError.
        """
        (feed,) = settings.feeds
        with self.ingestion(settings, feed, owner=owner, follow=follow) as ingestion:
            yield ingestion

    def keep_instruments(self) -> None:
        """Store what feeds.yaml says of instruments, if their tables exist. Raises SettingsError."""
        feeds = load_settings(Path(self.feeds_file)).feeds
        with self.database.transaction() as cursor:
            if not tables.missing(cursor, ("instrument", "round_lot", "ticks_platform.instrument_reference")):
                stored.keep(cursor, feeds)

    def history(self, feed: FeedSettings) -> History | None:
        """The history that a feed's provider offers; None where it offers none.

        Raises SettingsError when it needs an API key that is missing, or a stand-in that does not run.
        """
        return local_feeds.history(feed)

    def reference(self, feed: FeedSettings) -> Reference | None:
        """Where a feed's provider is asked what it knows of instruments. Raises SettingsError without an API key."""
        return local_feeds.reference(feed)

    def corporate_actions(self, feed: FeedSettings) -> CorporateActions | None:
        """Where a feed's provider is asked for splits and dividends. Raises SettingsError, as `history`."""
        return local_feeds.corporate_actions(feed)


@dg.definitions
def resources() -> dg.Definitions:
    """The resources, under keys that no other project uses."""
    database = DatabaseResource.from_environment()
    ingestion = IngestionResource(database=database, feeds_file=str(feeds_file()))
    return dg.Definitions(resources={"ticks_database": database, "ticks_ingestion": ingestion})
