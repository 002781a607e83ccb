"""The reports themselves: what the sensor `report_newest` asks the database, and the events that it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
import psycopg2.errors

from ticks_platform.defs.candles import report_metadata
from ticks_platform.defs.candles.report_state import PERIOD, Reported, State, moment
from ticks_platform.defs.common.labels import LIVE, as_in_sync
from ticks_platform.defs.common.schema import table_metadata
from ticks_platform.timescale import server_clock
from ticks_platform.timescale.candles import reports
from ticks_platform.timescale.candles.candles import CANDLES, ONE_DAY, ONE_HOUR, ONE_MINUTE, TICKS, Candle
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

LOOK = {ONE_HOUR.name: 55.0, ONE_DAY.name: 295.0}
"""Seconds between looks at which closed buckets have changed."""

AGAIN = 55.0
"""Seconds to another look where nothing new was found."""

ROWS_PERIOD = 4 * PERIOD
"""Seconds between two reports of quotes and bars, which nothing is made of."""

MARGIN = timedelta(minutes=2)
"""How much earlier changes are looked for than the last time: a transaction is seen later than it began."""

SOURCES = {candle.name: {candle.source: LIVE.value} for candle in CANDLES}
"""What each is made of, with its data version."""

NEWEST_TAG = "ticks/newest_bucket"
"""On reports of candles: the begin of the newest closed bucket."""

ROWS = {"stock_quotes": "time", "stock_aggregates": "start_time"}
"""Tables that are reported where they have rows of the last day, and the column of their time."""


class Settings(NamedTuple):
    """What feeds.yaml says."""

    feeds: Sequence[str]
    symbols: Sequence[str]
    """The symbols that candles are made of, in the order of the file."""


class Reporter:
    """One evaluation."""

    def __init__(self, database: Database, settings: Settings, state: State, now: float) -> None:
        self._database = database
        self._settings = settings
        self._state = state
        self._now = now
        self.events: list[dg.AssetMaterialization] = []
        self.notes: list[str] = []

    def report(self) -> None:
        """Report all that is due. Raises what the database raises while it is away."""
        # The hours before the minutes, whose report tells which hours were corrected.
        for subject, work in (
            (TICKS, self._ticks),
            (ONE_HOUR.name, self._hour),
            (ONE_DAY.name, self._day),
            (ONE_MINUTE.name, self._minute),
            *((table, self._rows(table, time)) for table, time in ROWS.items()),
        ):
            self._alone(subject, work)

    def _alone(self, subject: str, work: Callable[[Cursor, Reported], None]) -> None:
        """A transaction for each subject: what one of them cannot tell keeps none of the others."""
        reported = self._state.of(subject)
        if not self._is_worth_asking(subject, reported):
            return
        try:
            with self._database.transaction() as cursor:
                reports.limit_statements(cursor)
                work(cursor, reported)
        except psycopg2.errors.InsufficientPrivilege as error:
            reported.asked = self._now
            self.notes.append(f"{subject}: {str(error).strip()}")
        except psycopg2.errors.QueryCanceled:
            reported.asked = self._now
            self.notes.append(f"{subject}: the database did not answer within {reports.STATEMENT_SECONDS} s")
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn, psycopg2.errors.InvalidSchemaName):
            self.notes.append(f"{subject}: not created yet, or of another release")

    def _is_worth_asking(self, subject: str, reported: Reported) -> bool:
        if subject in LOOK:
            return self._is_past(reported, LOOK[subject] if reported.materialized else AGAIN)
        if subject in ROWS:
            return self._is_past(reported, ROWS_PERIOD)
        # The first report as soon as there is one; where a later look found nothing new, another one in a minute.
        return reported.is_due(self._now) and (not reported.materialized or self._is_past(reported, AGAIN))

    def _is_past(self, reported: Reported, pause: float) -> bool:
        """Whether the pause after the last question is over. By this machine's clock, which may have been set back."""
        return not 0 <= self._now - reported.asked < pause

    def _ticks(self, cursor: Cursor, reported: Reported) -> None:
        feeds = reports.feeds(cursor, self._settings.feeds)
        words = "; ".join(f"{feed.feed}: {report_metadata.state_of(feed)}" for feed in feeds)
        loaded = {feed.feed: feed.loaded for feed in feeds}
        if not feeds or (loaded == reported.loaded and words == reported.words):
            reported.asked = self._now
            self.notes.append(f"{TICKS}: {report_metadata.running_words(feeds)}")
            return
        seconds = self._now - reported.materialized
        rates = {
            name: max(0, number - reported.loaded[name]) / seconds
            for name, number in loaded.items()
            if name in reported.loaded and reported.materialized and seconds > 0
        }
        metadata = report_metadata.of_feeds(feeds, rates)
        self._report(cursor, TICKS, metadata, report_metadata.running_words(feeds))
        reported.loaded, reported.words = loaded, words

    def _minute(self, cursor: Cursor, reported: Reported) -> None:
        found = reports.candles(cursor, ONE_MINUTE, preferred=self._settings.symbols, limit=report_metadata.ROWS)
        if found is None or found.closed is None:
            reported.asked = self._now
            self.notes.append(f"{ONE_MINUTE.name}: no closed minute yet")
            return
        newest, now = moment(reported.newest), server_clock.now(cursor)
        running = report_metadata.running_words(reports.feeds(cursor, self._settings.feeds))
        # A minute that is not over yet is nothing that is missing: the first two reports may be seconds apart.
        is_quiet = now >= found.closed + 2 * ONE_MINUTE.bucket
        is_old = is_quiet and newest is not None and found.closed <= newest and not reported.corrected
        words = f"nothing new since {_minute_of(found.closed)}: {running}" if is_old else running
        if is_old and words == reported.words:
            # Said once is enough, and nothing that is made of minutes has anything to do.
            reported.asked = self._now
            self.notes.append(f"{ONE_MINUTE.name}: {words}")
            return
        metadata = {"state": words, **report_metadata.of_candles(ONE_MINUTE, found, self._now)}
        if newest is not None:
            late = reports.late_hours(cursor, min(moment(reported.looked) or now, now) - MARGIN)
            hours = {*late, *(datetime.fromisoformat(hour) for hour in reported.corrected)}
            end = found.closed + ONE_MINUTE.bucket
            spans = [(newest + ONE_MINUTE.bucket, end), *((hour, min(hour + ONE_HOUR.bucket, end)) for hour in hours)]
            metadata |= report_metadata.changed(span for span in spans if span[0] < span[1])
        self._report(cursor, ONE_MINUTE.name, metadata, words, found)
        reported.newest, reported.looked, reported.words = found.closed.isoformat(), now.isoformat(), words
        reported.corrected = []

    def _hour(self, cursor: Cursor, reported: Reported) -> None:
        corrected = [hour.isoformat() for hour in self._coarse(cursor, ONE_HOUR, reported)]
        minutes = self._state.of(ONE_MINUTE.name)
        minutes.corrected = sorted({*minutes.corrected, *corrected})

    def _day(self, cursor: Cursor, reported: Reported) -> None:
        self._coarse(cursor, ONE_DAY, reported)

    def _coarse(self, cursor: Cursor, candle: Candle, reported: Reported) -> list[datetime]:
        """Report hours or days once they are closed, and again when they are corrected. Returns the corrected ones."""
        now = server_clock.now(cursor)
        since = moment(reported.looked)
        # Not later than now: the database's clock may have been set back.
        closed = reports.closed_buckets(cursor, candle, min(since or now, now) - MARGIN)
        window = reports.WINDOWS[candle.name]
        changed = reported.changes(closed, oldest=now - 2 * window, seen_from=now - window + candle.bucket)
        reported.looked, reported.asked = now.isoformat(), self._now
        newest = moment(reported.newest)
        if not changed and reported.materialized:
            return []
        found = reports.candles(cursor, candle, preferred=self._settings.symbols, limit=report_metadata.ROWS)
        if found is None and not changed:
            return []
        # Without a candle of the last days, such as in a history that was loaded, there is nothing to draw.
        metadata = {} if found is None else report_metadata.of_candles(candle, found, self._now)
        newly = [bucket for bucket in changed if newest is None or bucket > newest]
        corrected = [bucket for bucket in changed if bucket not in newly]
        # Where more were refreshed than are looked at, some of which have no candle any more, all may have changed.
        if since is not None and len(closed) < reports.MOST_REFRESHED // 2:
            metadata |= report_metadata.changed((begin, begin + candle.bucket) for begin in changed)
            metadata |= {"corrected buckets": len(corrected)}
        words = f"{len(newly)} newly closed, {len(corrected)} corrected" if changed else "the first one is open"
        self._report(cursor, candle.name, metadata, words, found)
        reported.newest = max(newly).isoformat() if newly else reported.newest
        return corrected if since is not None else []

    def _rows(self, table: str, time: str) -> Callable[[Cursor, Reported], None]:
        def work(cursor: Cursor, reported: Reported) -> None:
            found = reports.newest_rows(cursor, table, time)
            reported.asked = self._now
            if found is not None and found.at.isoformat() != reported.newest:
                reported.newest = found.at.isoformat()
                self._report(cursor, table, report_metadata.of_rows(found, self._now), None)

        return work

    def _report(
        self,
        cursor: Cursor,
        asset: str,
        metadata: report_metadata.Metadata,
        words: str | None,
        found: reports.CandleReport | None = None,
    ) -> None:
        tags = as_in_sync(SOURCES.get(asset, {}))
        if found is not None and found.closed is not None:
            tags[NEWEST_TAG] = f"{found.closed.astimezone(timezone.utc):%Y-%m-%dT%H.%MZ}"
        # The page shows columns of the latest materialization alone.
        metadata = {**metadata, **table_metadata(cursor, asset)}
        self.events.append(dg.AssetMaterialization(asset, description=words, metadata=metadata, tags=tags))
        self._state.of(asset).materialized = self._now


def _minute_of(bucket: datetime) -> str:
    return f"{bucket.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
