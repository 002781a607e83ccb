"""A backtest that decides by what was known, beside one that decides by what is known now."""

from collections.abc import Callable
from datetime import datetime

import dagster as dg
import pandas as pd

from examples.signals.features import HOURS, WINDOW, compute
from ticks_platform import ReaderResource
from ticks_platform.pictures import lines

DECISIONS = 48
"""Hours that are decided about, the newest closed ones."""


def positions(candles: pd.DataFrame) -> pd.Series:
    """By symbol, 1 to buy and -1 to sell: with the momentum of the last hour."""
    last = compute(candles).groupby("symbol", observed=True)["momentum"].last()
    return last.map(lambda momentum: (momentum > 0) - (momentum < 0)).astype("float64")


def backtest_of(candles: pd.DataFrame, known: Callable[[datetime, datetime], pd.DataFrame]) -> pd.DataFrame:
    """What each hour earned: by the decision at its begin, and by the one that today's candles would have made.

    `known(begin, moment)` has the candles from `begin` to a moment as they were known then. Both decisions earn the
    same: what the hour did, from its open to its close.
    """
    decided = []
    for hour in candles.index.unique()[-DECISIONS:]:
        begin = hour - WINDOW * pd.Timedelta("2h")
        before = candles[(candles.index >= begin) & (candles.index < hour)]
        earned = candles[candles.index == hour].dropna(subset=["close"]).set_index("symbol")
        each = pd.DataFrame({"known": positions(known(begin, hour)), "hindsight": positions(before)})
        each = each.reindex(earned.index.astype("str")).fillna(0.0)
        each["change"] = (earned["close"] / earned["open"] - 1).to_numpy()
        decided.append(each.assign(hour=hour).reset_index(names="symbol"))
    columns = ["hour", "symbol", "known", "hindsight", "change"]
    found = pd.concat(decided)[columns] if decided else pd.DataFrame(columns=columns)
    return found.set_index("hour").astype({"known": "float64", "hindsight": "float64", "change": "float64"})


@dg.asset(
    ins={"candles": HOURS},
    deps=["features"],
    # With the features: a closed hour is proven some minutes later.
    automation_condition=dg.AutomationCondition.eager().ignore(dg.AssetSelection.assets("one_hour_candle")),
    group_name="signals",
)
def backtest(context: dg.AssetExecutionContext, candles: pd.DataFrame, ticks_reader: ReaderResource) -> pd.DataFrame:
    """Momentum of hours, decided by point in time; in hindsight is what a backtest on today's candles shows."""

    def known(begin: datetime, moment: datetime) -> pd.DataFrame:
        found: pd.DataFrame = ticks_reader.candles(every="1h", start=begin, end=moment, known_at=moment)
        return found

    found = backtest_of(candles, known)
    results = {
        name: (found[name] * found["change"]).groupby(level="hour").mean().cumsum() for name in ("known", "hindsight")
    }
    ends = {name: float(result.iloc[-1]) if len(result) else 0.0 for name, result in results.items()}
    plot = lines.markdown("what it earned", {f"{name} {ends[name]:+.2%}": [*results[name]] for name in results})
    context.add_output_metadata(
        {
            "result": dg.MetadataValue.md(plot),
            "earned": ends["known"],
            "look-ahead": ends["hindsight"] - ends["known"],
            "decisions": len(found),
            "decided differently in hindsight": int((found["known"] != found["hindsight"]).sum()),
        }
    )
    return found
