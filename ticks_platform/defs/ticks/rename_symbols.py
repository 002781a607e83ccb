"""The job that renames the stored history of symbols."""

import dagster as dg
from pydantic import Field

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import LONG_BY_HAND, REFRESH_POOL
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.feeds.renamed import former, unusable
from ticks_platform.timescale import renames
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.renames import Plan

SHOWN = 200
"""Rows of a table in the UI."""


class RenameConfig(dg.Config):
    """What is renamed, and whether to do it or only to say what would be done."""

    dry_run: bool = Field(default=True, description="Only say which rows would change.")
    renames: dict[str, str] = Field(
        default={},
        description="New names by old ones, such as `FB: META` after a change of ticker. Without any, the names that "
        "earlier releases gave to the symbols of feeds.yaml.",
    )
    feed: str | None = Field(default=None, description="Only rows of this feed.")


def _metadata(planned: Plan, left: list[str]) -> dict[str, dg.MetadataValue]:
    rows = [
        dg.TableRecord(
            {
                "old": part.rename.old,
                "new": part.rename.new,
                "feeds": ", ".join(part.rename.feeds),
                "table": part.table,
                "rows": part.rows,
            }
        )
        for part in planned.parts[:SHOWN]
    ]
    columns = [dg.TableColumn(name) for name in ("old", "new", "feeds", "table")]
    return {
        "symbols": dg.MetadataValue.int(len(planned.renames)),
        "rows": dg.MetadataValue.int(planned.rows),
        **({"left as they are": dg.MetadataValue.text("\n".join(left))} if left else {}),
        **({"refused": dg.MetadataValue.text("\n".join(planned.refused))} if planned.refused else {}),
        **(
            {"changes": dg.MetadataValue.table(rows, schema=dg.TableSchema([*columns, dg.TableColumn("rows", "int")]))}
            if rows
            else {}
        ),
    }


@dg.definitions
def rename_symbols() -> dg.Definitions:
    """The job `rename_symbols`."""
    known = former(feed_settings().feeds)

    # An op and not an asset: it changes many tables, and tells the assets of ticks and candles.
    @dg.op(
        name="rename_stored_symbols",
        pool=REFRESH_POOL,
        out=dg.Out(dg.Nothing),
        description="Renames symbols in every table that names them, and makes the candles of both names right.",
    )
    def rename(context: dg.OpExecutionContext, config: RenameConfig, ticks_database: DatabaseResource) -> None:
        """Say what would change, and unless it is a dry run, change it."""
        if config.renames:
            wanted = {(config.feed, old): new for old, new in config.renames.items() if old != new}
        else:
            wanted = {key: new for key, new in known.names.items() if config.feed in (None, key[0])}
        with ticks_database.transaction() as cursor:
            planned = renames.plan(cursor, wanted, known.asked)
            planned = planned._replace(refused=(*unusable(wanted.values()), *planned.refused))
            mixed = [] if config.renames else [each for each in known.mixed if config.feed in (None, each.feed)]
            left = [str(each) for each in mixed if renames.has_rows(cursor, each.feed, each.old)]
        metadata = _metadata(planned, left)
        context.add_output_metadata({**metadata, "dry run": config.dry_run})
        for words in left:
            context.log.warning(words)
        for part in planned.parts:
            context.log.info(f"{part.rename.old} to {part.rename.new}: {part.rows} rows of {part.table}")
        if planned.refused:
            raise dg.Failure("; ".join(planned.refused), metadata=metadata)
        if not planned.parts:
            context.log.info("no row has a name that would change")
            return
        if config.dry_run:
            context.log.info("a dry run: nothing was changed")
            return
        renames.apply(ticks_database.database, planned, context.log.info)
        for key in ("stocks_real_time", *(candle.name for candle in CANDLES)):
            context.log_event(dg.AssetObservation(asset_key=key, metadata=metadata))
        with ticks_database.transaction() as cursor:
            after = renames.plan(cursor, wanted, known.asked).rows
        if after:
            raise dg.Failure(
                f"{after} rows have an old name: they were stored meanwhile by a run with the settings before. Run "
                "this job again once the feeds' new runs have taken over"
            )

    @dg.job(
        name="rename_symbols",
        executor_def=one_process,
        tags=LONG_BY_HAND,
        description=(
            "Renames the stored history of symbols: what earlier releases called AAPL where feeds.yaml says "
            "AAPL:NASDAQ, coverage under `aapl`, or, with `renames`, a change of ticker. A dry run, unless dry_run is "
            "set to false in the launchpad, says how many rows of which tables would change. It can be run again after "
            "an interruption. What would mix two instruments is refused."
        ),
    )
    def job() -> None:
        rename()

    return dg.Definitions(jobs=[job])
