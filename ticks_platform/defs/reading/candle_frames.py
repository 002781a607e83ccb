"""The input manager `ticks_candles`: an asset downstream of a candle gets its candles as a DataFrame."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.timescale import server_clock
from ticks_platform.timescale.candles.candles import CANDLES

if TYPE_CHECKING:
    import pandas as pd

KEY = "ticks_candles"
"""Its resource key."""

OPTIONS = ("symbols", "every", "tz", "filled", "adjusted", "proven", "look_back", "warm_up")
"""What an input may say in its metadata."""

_BUCKETS = {candle.name: candle.bucket for candle in CANDLES}
_MICROSECOND = timedelta(microseconds=1)


class CandleFrames(dg.ConfigurableIOManager):
    """Hands closed candles to assets as DataFrames with the columns of `ticks_platform.candles`.

    An asset with partitions of time gets the candles of its partition, or of its range of partitions; another one
    those of the time before now. Only candles that were over by the end of that time are in it, so a partition
    that is made again later gets no candle that it could not have had then.

    An input may say in its metadata which candles it gets: ``symbols``, ``every``, ``tz``, ``filled``,
    ``adjusted`` and ``proven``, as parameters of `ticks_platform.candles`, ``look_back``, and ``warm_up``: how much
    time before its partition it gets too, such as ``"24h"``.
    """

    database: DatabaseResource
    symbols: list[str] | None = Field(default=None, description="The symbols; all where null.")
    look_back: str = Field(
        default="30d", description="How far an asset without partitions of time looks back, such as `12h` or `30d`."
    )

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """The candles of an input. Raises Failure for metadata that cannot be, and what `candles` raises."""
        from ticks_platform import reading
        from ticks_platform.reading.arguments import interval

        candle = context.asset_key.to_user_string()
        if candle not in _BUCKETS:
            raise dg.Failure(
                f"input {context.name}: {KEY} hands out {', '.join(_BUCKETS)}, and {candle} is none of them; read it "
                "with the resource ticks_reader"
            )
        options = _options(context)
        every = options.pop("every", _BUCKETS[candle])
        length = timedelta(0) if every == "session" else interval(every)
        with self.database.autocommit() as cursor:
            now = server_clock.now(cursor)
        window = _window(context)
        look_back = _duration(context, "look_back", options.pop("look_back", self.look_back))
        warm_up = _duration(context, "warm_up", options.pop("warm_up", "0s"))
        begin, end = window or (now - look_back, now)
        end = min(end, now)
        begin = min(begin - warm_up, end)
        frame: pd.DataFrame = reading.candles(
            options.pop("symbols", self.symbols),
            every,
            begin,
            # Of the begin of the last candle that is over by the end.
            max(begin, end - length + _MICROSECOND),
            database=self.database.database,
            **options,
        )
        if every == "session":
            frame = frame[frame["closes_at"] <= end]
        context.add_input_metadata(
            {"candles": len(frame), "from": begin.isoformat(), "to": end.isoformat()}, description="closed candles"
        )
        return frame

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Raises Failure: the platform alone makes candles."""
        raise dg.Failure(f"{KEY} only reads: asset {context.asset_key.to_user_string()} needs another IO manager")


def _options(context: dg.InputContext) -> dict[str, Any]:
    given: Mapping[str, Any] = context.definition_metadata or {}
    options = {name: value.value if isinstance(value, dg.MetadataValue) else value for name, value in given.items()}
    unknown = sorted(options.keys() - set(OPTIONS))
    if unknown:
        raise dg.Failure(
            f"input {context.name}: unknown metadata {', '.join(unknown)}; candles are chosen by {', '.join(OPTIONS)}"
        )
    return options


def _window(context: dg.InputContext) -> tuple[datetime, datetime] | None:
    """The time of the partitions that are made; None of an asset without partitions of time."""
    step = context.step_context
    for output in step.op_def.output_defs:
        partitions = step.partitions_def_for_output(output.name)
        has_time = isinstance(partitions, dg.TimeWindowPartitionsDefinition) or (
            isinstance(partitions, dg.MultiPartitionsDefinition) and partitions.has_time_window_dimension
        )
        if has_time:
            window = step.asset_partitions_time_window_for_output(output.name)
            return window.start.astimezone(timezone.utc), window.end.astimezone(timezone.utc)
    return None


def _duration(context: dg.InputContext, name: str, value: object) -> timedelta:
    from ticks_platform.reading.arguments import duration

    found = duration(value) if isinstance(value, str) else value
    if not isinstance(found, timedelta) or found < timedelta(0):
        raise dg.Failure(f"input {context.name}: {name} {value!r} is no duration; write it as '12h' or '30d'")
    return found
