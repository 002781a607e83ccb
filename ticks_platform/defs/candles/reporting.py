"""The reports themselves: what the sensor `report_newest` asks the database, and the events that it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
import psycopg2.errors

from ticks_platform.defs.candles import report_metadata
from ticks_platform.defs.candles.report_state import BETWEEN, PERIOD, Reported, State, moment
from ticks_platform.defs.common.labels import LIVE
from ticks_platform.timescale import server_clock
from ticks_platform.timescale.candles import reports
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE, TICKS, Candle
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

LOOK = {ONE_HOUR.name: 55.0, ONE_DAY.name: 295.0}
"""Seconds between looks at which closed buckets have changed."""

SHOW = {ONE_HOUR.name: PERIOD, ONE_DAY.name: 3 * PERIOD}
"""Seconds after which the page of an hour or a day that goes on is brought up to date."""

ROWS_PERIOD = 3 * PERIOD
"""Seconds between two reports of quotes and bars, which nothing is made of."""

MARGIN = timedelta(minutes=2)
"""How much earlier changes are looked for than the last time: a transaction is seen later than it began."""

ROWS = {"stock_quotes": "time", "stock_aggregates": "start_time"}
"""Tables that are reported where they have rows of the last day, and the column of their time."""

Event = dg.AssetMaterialization | dg.AssetObservation


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
        self.events: list[Event] = []
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
        except psycopg2.errors.QueryCanceled:
            reported.shown = self._now
            self.notes.append(f"{subject}: the database did not answer within {reports.STATEMENT_SECONDS} s")
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn, psycopg2.errors.InvalidSchemaName):
            self.notes.append(f"{subject}: not created yet, or of another release")

    def _is_worth_asking(self, subject: str, reported: Reported) -> bool:
        if subject in LOOK:
            looked = moment(reported.looked)
            return looked is None or self._now - looked.timestamp() >= LOOK[subject]
        age = self._now - max(reported.materialized, reported.shown)
        if subject in ROWS:
            return age >= ROWS_PERIOD
        return reported.is_due(self._now) or (subject == ONE_MINUTE.name and age >= BETWEEN)

    def _ticks(self, cursor: Cursor, reported: Reported) -> None:
        feeds = reports.feeds(cursor, self._settings.feeds)
        words = "; ".join(f"{feed.feed}: {report_metadata.state_of(feed)}" for feed in feeds)
        loaded = {feed.feed: feed.loaded for feed in feeds}
        if not feeds or (loaded == reported.loaded and words == reported.words):
            reported.shown = self._now
            self.notes.append(f"{TICKS}: {report_metadata.running_words(feeds)}")
            return
        seconds = self._now - reported.materialized
        rates = {
            name: max(0, number - reported.loaded[name]) / seconds
            for name, number in loaded.items()
            if name in reported.loaded and reported.materialized and seconds > 0
        }
        metadata = report_metadata.of_feeds(feeds, rates)
        self._materialize(TICKS, metadata, LIVE.value, report_metadata.running_words(feeds))
        reported.loaded, reported.words = loaded, words

    def _minute(self, cursor: Cursor, reported: Reported) -> None:
        found = reports.candles(cursor, ONE_MINUTE, preferred=self._settings.symbols, limit=report_metadata.ROWS)
        if found is None or found.closed is None:
            self.notes.append(f"{ONE_MINUTE.name}: no closed minute yet")
            return
        newest, now = moment(reported.newest), server_clock.now(cursor)
        metadata = report_metadata.of_candles(ONE_MINUTE, found, self._now)
        if newest is not None and found.closed <= newest and not reported.corrected:
            self._nothing_new(cursor, reported, found.closed, metadata)
        elif not reported.is_due(self._now):
            self._show(ONE_MINUTE.name, metadata, _words(found))
        else:
            if newest is not None:
                late = reports.late_hours(cursor, (moment(reported.looked) or now) - MARGIN)
                hours = {*late, *(datetime.fromisoformat(hour) for hour in reported.corrected)}
                spans = [(newest + ONE_MINUTE.bucket, found.closed + ONE_MINUTE.bucket)]
                spans += [(hour, min(hour + ONE_HOUR.bucket, spans[0][1])) for hour in hours]
                metadata |= report_metadata.changed(span for span in spans if span[0] < span[1])
            self._materialize(ONE_MINUTE.name, metadata, _version(found.closed), _words(found))
            reported.newest, reported.looked, reported.words = found.closed.isoformat(), now.isoformat(), ""
            reported.corrected = []

    def _nothing_new(
        self, cursor: Cursor, reported: Reported, closed: datetime, metadata: report_metadata.Metadata
    ) -> None:
        """Say so once, and again when it is for another reason."""
        running = report_metadata.running_words(reports.feeds(cursor, self._settings.feeds))
        words = f"nothing new since {closed.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC: {running}"
        self.notes.append(f"{ONE_MINUTE.name}: {words}")
        if words == reported.words:
            reported.shown = self._now
            return
        reported.words = words
        self._show(ONE_MINUTE.name, {**metadata, "state": words}, words)

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
        closed = reports.closed_buckets(cursor, candle, (since or now) - MARGIN)
        changed = reported.changes(closed, oldest=now - 2 * reports.WINDOWS[candle.name])
        reported.looked = now.isoformat()
        newest = moment(reported.newest)
        due = self._now - max(reported.shown, reported.materialized) >= SHOW[candle.name]
        if not changed and not due:
            return []
        found = reports.candles(cursor, candle, preferred=self._settings.symbols, limit=report_metadata.ROWS)
        if found is None:
            return []
        metadata = report_metadata.of_candles(candle, found, self._now)
        if not changed:
            if found.newest + candle.bucket > now - timedelta(seconds=2 * SHOW[candle.name]):
                self._show(candle.name, metadata, _words(found))
            return []
        newly = [bucket for bucket in changed if newest is None or bucket > newest]
        corrected = [bucket for bucket in changed if bucket not in newly]
        reported.corrections = reported.corrections + 1 if corrected and not newly else 0
        last = max([*changed, *([newest] if newest else [])])
        if since is not None:
            metadata |= report_metadata.changed((begin, begin + candle.bucket) for begin in changed)
            metadata |= {"corrected buckets": len(corrected)}
        suffix = f", corrected {reported.corrections} times" if reported.corrections else ""
        words = f"closed: {len(newly)}, corrected: {len(corrected)}"
        self._materialize(candle.name, metadata, _version(last) + suffix, words)
        reported.newest = last.isoformat()
        return corrected if since is not None else []

    def _rows(self, table: str, time: str) -> Callable[[Cursor, Reported], None]:
        def work(cursor: Cursor, reported: Reported) -> None:
            found = reports.newest_rows(cursor, table, time)
            reported.shown = self._now
            if found is not None and found.at.isoformat() != reported.newest:
                reported.newest = found.at.isoformat()
                self._materialize(table, report_metadata.of_rows(found, self._now), LIVE.value, None)

        return work

    def _materialize(self, asset: str, metadata: report_metadata.Metadata, version: str, words: str | None) -> None:
        tags = {"dagster/data_version": version, "dagster/data_version_is_user_provided": "true"}
        self.events.append(dg.AssetMaterialization(asset, description=words, metadata=metadata, tags=tags))
        self._state.of(asset).materialized = self._now

    def _show(self, asset: str, metadata: report_metadata.Metadata, words: str) -> None:
        self.events.append(dg.AssetObservation(asset, description=words, metadata=metadata))
        self._state.of(asset).shown = self._now


def _version(bucket: datetime) -> str:
    return f"{bucket.astimezone(timezone.utc):%Y-%m-%dT%H:%MZ}"


def _words(found: reports.CandleReport) -> str:
    return f"{found.symbols} symbols, newest bucket {found.newest.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
