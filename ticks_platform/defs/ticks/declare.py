"""The jobs that declare what is gone, so that the account balances again."""

from datetime import datetime

import dagster as dg
from pydantic import Field

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import FOR_OPERATORS
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.ingestion import heard_journals
from ticks_platform.timescale import gone
from ticks_platform.timescale.gone import Gone


class GoneConfig(dg.Config):
    """What is declared gone, and whether to do it or only to say what would be done."""

    dry_run: bool = Field(default=True, description="Only say what would be declared.")
    table: str = Field(default="stocks_real_time", description="The table whose rows are gone.")
    begins_at: str | None = Field(
        default=None, description="From this hour on, such as `2026-11-26 08:00` (UTC). Default: all."
    )
    ends_at: str | None = Field(default=None, description="Up to the end of this hour (UTC). Default: all.")
    reason: str = Field(default="", description="Why; it is kept in ticks_platform.feed_gone.")


class LostConfig(dg.Config):
    """Which journal is declared lost, and whether to do it or only to say what would be done."""

    dry_run: bool = Field(default=True, description="Only say what would be declared.")
    journal: str = Field(description="Its id, as the check ledger_balances says.")
    reason: str = Field(default="", description="Why; it is kept in ticks_platform.feed_checkpoint.")


def _metadata(found: Gone) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {
        "table": dg.MetadataValue.text(found.table),
        "rows": dg.MetadataValue.int(found.rows),
        "hours": dg.MetadataValue.int(len({each.hour for each in found.hours})),
    }
    if found.begins_at is not None and found.ends_at is not None:
        metadata["begin"] = dg.MetadataValue.text(f"{found.begins_at:%Y-%m-%d %H:%M} UTC")
        metadata["end"] = dg.MetadataValue.text(f"{found.ends_at:%Y-%m-%d %H:%M} UTC")
    return metadata


def _moment(name: str, text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise dg.Failure(f"{name} is no time such as 2026-11-26 08:00: {text}") from None


def _require_reason(config: GoneConfig | LostConfig) -> None:
    if not config.dry_run and not config.reason.strip():
        raise dg.Failure("say the reason: whoever reads the account later has nothing else")


@dg.definitions
def declare_gone() -> dg.Definitions:
    """The job `declare_gone`."""

    @dg.op(
        name="declare_rows_gone",
        out=dg.Out(dg.Nothing),
        description="Adds what is gone of a table to the account, by hour, with the reason.",
    )
    def declare(context: dg.OpExecutionContext, config: GoneConfig, ticks_database: DatabaseResource) -> None:
        """Say what is gone, and unless it is a dry run, declare it."""
        span = {
            "since": _moment("begins_at", config.begins_at),
            "until": _moment("ends_at", config.ends_at),
        }
        _require_reason(config)
        with ticks_database.transaction() as cursor:
            if config.dry_run:
                found = gone.find(cursor, config.table, **span)
            else:
                found = gone.declare(
                    cursor,
                    config.table,
                    **span,
                    declared_by=f"job declare_gone, run {context.run_id}",
                    reason=config.reason,
                )
        metadata = _metadata(found)
        context.add_output_metadata({**metadata, "dry run": config.dry_run})
        for line in found.lines(done=not config.dry_run):
            context.log.info(line)
        if config.dry_run:
            context.log.info("a dry run: nothing was declared")
        elif found.hours and found.table == "stocks_real_time":
            context.log_event(dg.AssetObservation(asset_key=found.table, metadata=metadata))

    @dg.job(
        name="declare_gone",
        executor_def=one_process,
        tags=FOR_OPERATORS,
        description=(
            "Declares rows of a table gone that were loaded and are not there: dropped or deleted by hand, or not in a "
            "backup. Until then the checks of the account are red; what retention drops needs no declaration. A dry "
            "run, unless dry_run is set to false in the launchpad, says how many rows of which time are gone."
        ),
    )
    def job() -> None:
        declare()

    return dg.Definitions(jobs=[job])


@dg.definitions
def declare_lost() -> dg.Definitions:
    """The job `declare_lost`."""

    @dg.op(
        name="declare_journal_lost",
        out=dg.Out(dg.Nothing),
        description="Notes that a journal is lost, with what waits in it.",
    )
    def declare(context: dg.OpExecutionContext, config: LostConfig, ticks_database: DatabaseResource) -> None:
        """Say what waits in the journal, and unless it is a dry run, declare it lost."""
        _require_reason(config)
        with ticks_database.transaction() as cursor:
            found = heard_journals.find(cursor, config.journal)
            if not config.dry_run:
                by = f"job declare_lost, run {context.run_id}"
                heard_journals.declare_lost(cursor, config.journal, declared_by=by, reason=config.reason)
        context.add_output_metadata(
            {
                "feed": found.feed,
                "host": found.host,
                "file": found.file,
                "frames": found.frames,
                "bytes": found.bytes,
                "dry run": config.dry_run,
            }
        )
        context.log.info(found.declared(done=not config.dry_run))

    @dg.job(
        name="declare_lost",
        executor_def=one_process,
        tags=FOR_OPERATORS,
        description=(
            "Declares a journal lost whose machine is gone for good, with the frames that wait in it as last heard. A "
            "dry run, unless dry_run is set to false in the launchpad. If it is heard of again, it counts again."
        ),
    )
    def job() -> None:
        declare()

    return dg.Definitions(jobs=[job])
