"""Candles' definitions: the check that the database has them as in their files, and the job that makes them so."""

from enum import Enum

import dagster as dg
from pydantic import Field

from ticks_platform.defs.assets import REFRESH_POOL
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.paths import project_root
from ticks_platform.timescale.candles import definitions as candle_definitions
from ticks_platform.timescale.candles import rebuild as candle_rebuild
from ticks_platform.timescale.candles.candles import Candle
from ticks_platform.timescale.candles.definitions import DefinitionError
from ticks_platform.timescale.candles.rebuild import LEVELS, Plan, RebuildRefusedError
from ticks_platform.timescale.policies.settings import FILE, load_policies


class CandleName(Enum):
    """The candles that can be rebuilt."""

    one_minute_candle = "one_minute_candle"
    one_hour_candle = "one_hour_candle"
    one_day_candle = "one_day_candle"


class RebuildConfig(dg.Config):
    """Which candle to rebuild, and whether to do it or only to say what would be done."""

    candle: CandleName = Field(description="The candle whose file has changed. Those made from it are rebuilt as well.")
    dry_run: bool = Field(default=True, description="Only say what would be done, and try it out on empty candles.")


def _definition_check(candle: Candle) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=candle.name,
        name="definition_is_as_in_its_file",
        description=(
            f"The database has the candle as sql/candles/{candle.name}.sql defines it. A file that has changed changes "
            "nothing by itself: the job rebuild_candle makes the candle anew, and first says what that would do."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        try:
            with database.transaction() as cursor:
                drift = candle_definitions.drift(cursor, candle)
        except DefinitionError as error:
            return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR, description=str(error))
        if drift is None:
            return dg.AssetCheckResult(passed=True, description="as in its file")
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{drift.words}: run the job rebuild_candle, or put the file back as it was",
            metadata={"difference": _diff(drift.select)} if drift.select else {},
        )

    return check


definition_is_as_in_its_file = [_definition_check(candle) for candle in LEVELS]


def _diff(lines: list[str]) -> dg.MarkdownMetadataValue:
    text = "\n".join(lines)
    return dg.MetadataValue.md(f"```diff\n{text}\n```")


def _plan_metadata(planned: Plan) -> dict[str, dg.MetadataValue]:
    spans = [f"{span.begin} to {'now' if span.end.year == 9999 else span.end}" for span in planned.kept]
    drift = planned.drift
    return {
        "difference": dg.MetadataValue.text("none") if drift is None else _diff(drift.select or [drift.words]),
        "made anew": dg.MetadataValue.text(", ".join(level.name for level in planned.rebuilt)),
        "minutes made anew from ticks": dg.MetadataValue.text(", ".join(spans) or "none: there are no ticks"),
        **{f"{name}: candles carried over": dg.MetadataValue.int(number) for name, number in planned.carried.items()},
        "views made again": dg.MetadataValue.text(", ".join(view.name for view in planned.views) or "none"),
        "grants given again": dg.MetadataValue.text(
            ", ".join(f"{privilege} on {name} to {role}" for name, role, privilege, _ in planned.grants) or "none"
        ),
        "obstacles": dg.MetadataValue.text("; ".join(planned.obstacles) or "none"),
    }


# An op and not an asset: it changes up to three candle assets, deliberately, and tells each of them what it did.
@dg.op(
    name="make_candle_anew",
    pool=REFRESH_POOL,
    out=dg.Out(dg.Nothing),
    description="Makes a candle anew by its file beside the old one, with those made from it, and swaps them.",
)
def make_candle_anew(context: dg.OpExecutionContext, config: RebuildConfig, database: DatabaseResource) -> None:
    """Say what a rebuild would do, and unless it is a dry run, do it."""
    candle = next(level for level in LEVELS if level.name == config.candle.value)
    with database.transaction() as cursor:
        planned = candle_rebuild.plan(cursor, candle)
    metadata = _plan_metadata(planned)
    context.add_output_metadata({**metadata, "dry run": config.dry_run})
    if planned.drift is None:
        context.log.info(f"{candle.name} is as in its file: there is nothing to rebuild")
        return
    for name, value in metadata.items():
        context.log.info(f"{name}: {value.value}")
    try:
        if config.dry_run:
            candle_rebuild.try_out(database.database, planned)
            context.log.info("a dry run: nothing was changed. The database takes the new definitions")
            return
        settings = load_policies(project_root() / FILE)
        done = candle_rebuild.rebuild(database.database, planned, settings, context.log.info)
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
    tags={"dagster/max_runtime": str(24 * 3600)},
    description=(
        "Makes a candle anew whose file has changed, with those made from it: beside the old ones, which readers see "
        "until the new ones are complete. Candles whose ticks are gone are carried over; views, grants and policies "
        "come along. A dry run, unless dry_run is set to false in the launchpad, says what would be done."
    ),
)
def rebuild_candle() -> None:
    """The job `rebuild_candle`."""
    make_candle_anew()
