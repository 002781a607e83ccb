"""The resources by which assets read candles."""

import dagster as dg

from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.reading.candle_frames import KEY, CandleFrames
from ticks_platform.defs.reading.reader import ReaderResource


@dg.definitions
def readers() -> dg.Definitions:
    """`ticks_reader` and `ticks_candles`, of the platform's database."""
    database = DatabaseResource.from_environment()
    return dg.Definitions(
        resources={"ticks_reader": ReaderResource(database=database), KEY: CandleFrames(database=database)}
    )
