"""Rebuilding a candle whose SQL file has changed, and the check that the database has it as in its file."""

from enum import Enum

import dagster as dg
from pydantic import Field

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import LONG_BY_HAND, REFRESH_POOL
from ticks_platform.defs.common.project import policies_file
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.timescale.candles import rebuild
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.candles.rebuild import Plan, RebuildRefusedError
from ticks_platform.timescale.policies.settings import load_policies


class CandleName(Enum):
    """The candles that can be rebuilt, for the launchpad."""

    one_minute_candle = "one_minute_candle"
    one_hour_candle = "one_hour_candle"
    one_day_candle = "one_day_candle"


class RebuildConfig(dg.Config):
    """Which candle to rebuild, and whether to do it or only to say what would be done."""

    candle: CandleName = Field(description="The candle whose file has changed. Those made from it are rebuilt as well.")
    dry_run: bool = Field(default=True, description="Only say what would be done, and try it out on empty candles.")


def difference(lines: list[str]) -> dg.MarkdownMetadataValue:
    """How a definition in the database differs from its file."""
    text = "\n".join(lines)
    return dg.MetadataValue.md(f"```diff\n{text}\n```")


def _plan_metadata(planned: Plan) -> dict[str, dg.MetadataValue]:
    spans = [f"{span.begin} to {'now' if span.end.year == 9999 else span.end}" for span in planned.kept]
    drift = planned.drift
    return {
        "difference": dg.MetadataValue.text("none") if drift is None else difference(drift.select or [drift.words]),
        "rebuilt": dg.MetadataValue.text(", ".join(level.name for level in planned.rebuilt)),
        "minutes rebuilt from ticks": dg.MetadataValue.text(", ".join(spans) or "none: there are no ticks"),
        **{f"{name}: candles carried over": dg.MetadataValue.int(number) for name, number in planned.carried.items()},
        "chunks whose day_volume is converted": dg.MetadataValue.int(planned.unconverted),
        "views made again": dg.MetadataValue.text(", ".join(view.name for view in planned.views) or "none"),
        "grants given again": dg.MetadataValue.text(
            ", ".join(f"{privilege} on {name} to {role}" for name, role, privilege, _ in planned.grants) or "none"
        ),
        "obstacles": dg.MetadataValue.text("; ".join(planned.obstacles) or "none"),
    }


@dg.definitions
def rebuild_candle() -> dg.Definitions:
    """The job `rebuild_candle`."""
    file = policies_file()

    # An op and not an asset: it changes up to three candle assets, deliberately, and tells each of them what it did.
    @dg.op(
        name="rebuild_candle_op",
        pool=REFRESH_POOL,
        out=dg.Out(dg.Nothing),
        description="Builds a candle from its file beside the old one, with those made from it, and swaps them.",
    )
    def rebuild_one(context: dg.OpExecutionContext, config: RebuildConfig, ticks_database: DatabaseResource) -> None:
        """Say what a rebuild would do, and unless it is a dry run, do it."""
        candle = next(level for level in CANDLES if level.name == config.candle.value)
        with ticks_database.transaction() as cursor:
            planned = rebuild.plan(cursor, candle)
        metadata = _plan_metadata(planned)
        context.add_output_metadata({**metadata, "dry run": config.dry_run})
        if planned.drift is None:
            context.log.info(f"{candle.name} is as in its file: there is nothing to rebuild")
            if not config.dry_run:
                rebuild.finish(ticks_database.database, context.log.info)
            return
        for name, value in metadata.items():
            context.log.info(f"{name}: {value.value}")
        try:
            if config.dry_run:
                rebuild.try_out(ticks_database.database, planned)
                context.log.info("a dry run: nothing was changed. The database accepts the new definitions")
                return
            settings = load_policies(file)
            done = rebuild.rebuild(ticks_database.database, planned, settings, context.log.info)
        except RebuildRefusedError as error:
            raise dg.Failure(f"{candle.name} is left as it is: {error}", metadata=metadata) from error
        for level in planned.rebuilt:
            context.log_event(
                dg.AssetObservation(
                    asset_key=level.name,
                    metadata={
                        "rebuilt": True,
                        "carried over": done.carried.get(level.name, 0),
                        "not made by the ticks any more": done.gone.get(level.name, 0),
                    },
                )
            )

    @dg.job(
        name="rebuild_candle",
        executor_def=one_process,
        tags=LONG_BY_HAND,
        description=(
            "Rebuilds a candle whose file has changed, with those made from it: beside the old ones, which readers see "
            "until the new ones are complete. Candles whose ticks are gone are carried over, with views, grants and "
            "policies. A dry run, unless dry_run is set to false in the launchpad, says what would be done."
        ),
    )
    def job() -> None:
        rebuild_one()

    return dg.Definitions(jobs=[job])
