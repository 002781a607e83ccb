"""An asset with a partition a day, which imports the day's files from a folder or an object store."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

import dagster as dg

from ticks_platform.defs.common.resources import DatabaseResource, IngestionResource
from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.feeds import file_formats
from ticks_platform.feeds.files import Kind
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.us_stocks.regular_hours import hours_of_day
from ticks_platform.ingestion.imports.files import Import
from ticks_platform.ingestion.imports.options import Imported, Options
from ticks_platform.ingestion.imports.progress import reported
from ticks_platform.ingestion.imports.settle import Settled, rejected_reasons, settle
from ticks_platform.ingestion.imports.stored_files import StoredFiles
from ticks_platform.timescale import ingestion_tables
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import to_nanoseconds

REPORT_INTERVAL = 10.0
"""Seconds between events of progress."""

_DAYS_OF_A_RUN = 10
"""Partitions that one run of a backfill imports."""


def imported_files(
    files: str,
    *,
    feed: str,
    format: str = file_formats.POLYGON,
    start: str,
    name: str = "imported_files",
    kind: Kind | None = None,
    columns: Mapping[str, str] | None = None,
    times: str = "iso",
    synthetic: bool = False,
    complete: bool = False,
    may_be_missing: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> dg.AssetsDefinition:
    """An asset with a partition for each day, which imports the day's files: as ``ticks import`` does, each row once.

    A run that ends early goes on where it was when it is executed again. It fails if a day has no file, but for days
    without trading where files are Polygon's.

    :param files: a path or a URL of fsspec with the day in it, ``s3://bucket/{date:%Y/%m/%Y-%m-%d}.csv.gz``; ``*`` and
        ``?`` stand for anything.
    :param feed: the feed of feeds.yaml whose ticks they are.
    :param format: ``polygon-flat-file``, ``csv`` or ``parquet``.
    :param start: the first day, ``2024-01-01``.
    :param name: the asset's name.
    :param kind: what the rows of csv or parquet are: ``trades`` (by default), ``quotes`` or ``bars``.
    :param columns: the column of a field, where files of csv or parquet name it otherwise.
    :param times: what times of csv or parquet are: ``iso``, ``s``, ``ms``, ``us`` or ``ns``.
    :param synthetic: the ticks are made up, and go to a feed of the stand-in.
    :param complete: files of csv or parquet have everything of their day (UTC): gaps in it are closed.
    :param may_be_missing: a day without a file is a day without ticks, and no failure.
    :param storage_options: what fsspec's file system needs, such as keys; values of ``dg.EnvVar`` are read in the run.
    """
    options = Options(format, dict(columns or {}), times, synthetic, kind)

    @dg.asset(
        name=name,
        partitions_def=dg.DailyPartitionsDefinition(start),
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_OF_A_RUN),
        group_name="ticks",
        kinds={"timescaledb"},
        description=f"Files of past days, {files}, imported into feed `{feed}`.",
    )
    def asset(
        context: dg.AssetExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
    ) -> None:
        opened = {
            key: value.get_value() if isinstance(value, dg.EnvVar) else value
            for key, value in (storage_options or {}).items()
        }
        settings = ticks_ingestion.settings(feed).feeds[0]
        stored = StoredFiles(files, opened)
        ingestion_tables.create(ticks_database.database)
        for key in context.partition_keys:
            day = date.fromisoformat(key)
            try:
                metadata = _import_day(
                    context, ticks_database.database, settings, options, stored, day, complete=complete
                )
            except (ActionRequiredError, RetryableError) as error:
                raise dg.Failure(f"feed '{feed}', {key}: {error}") from error
            if (
                not metadata["files"]
                and not may_be_missing
                and not (format == file_formats.POLYGON and _is_closed(day))
            ):
                raise dg.Failure(f"feed '{feed}', {key}: no file is at {files.format(date=day)}")
            context.add_asset_metadata(metadata, partition_key=key)

    return asset


def _begin(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


def _is_closed(day: date) -> bool:
    """Whether US stocks are not traded on a day."""
    return not any(hours.regular for hours in hours_of_day(to_nanoseconds(_begin(day))))


def _import_day(
    context: dg.AssetExecutionContext,
    database: Database,
    feed: FeedSettings,
    options: Options,
    stored: StoredFiles,
    day: date,
    *,
    complete: bool,
) -> dict[str, Any]:
    """Import the files of a day, then refresh its candles and close its gaps. Returns what the event shows."""
    importing = Import(feed=feed, database=database, owner=f"run {context.run.run_id}", options=options)
    done: list[Imported] = []
    urls = stored.of_day(day)
    for number, url in enumerate(urls, 1):
        context.log.info(f"{url}: file {number} of {len(urls)} of {day}")
        with stored.at_hand(url) as source, reported(importing.progress, context.log.info, interval=REPORT_INTERVAL):
            done += importing.run([source])
    begin = _begin(day)
    settled = settle(
        database,
        feed,
        owner=f"run {context.run.run_id}",
        covers=(begin, begin + timedelta(days=1)) if complete and urls else None,
        imported=[file.journal_id for file in done],
    )
    reasons = rejected_reasons(database, done)
    return _metadata(urls, done, settled, reasons)


def _metadata(urls: list[str], done: list[Imported], settled: Settled, reasons: list[str]) -> dict[str, Any]:
    numbers = {
        name: sum(getattr(file.metrics, name) for file in done)
        for name in ("loaded", "replaced", "duplicate", "rejected")
    }
    return {
        "files": len(urls),
        "files imported already": sum(file.was_known for file in done),
        "rows loaded": numbers["loaded"],
        "rows replaced": numbers["replaced"],
        "rows known": numbers["duplicate"],
        "rows rejected": numbers["rejected"],
        "days refreshed": settled.days,
        "days left as they are": settled.left,
        "gaps closed": settled.gaps,
        **({"rejected": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in reasons))} if reasons else {}),
    }
