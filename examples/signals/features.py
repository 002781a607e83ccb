"""Features of each proven hour, and what is checked of them."""

import dagster as dg
import pandas as pd

from ticks_platform.pictures import lines

WINDOW = 4
"""Hours that the mean and the volatility are of."""

HOURS = dg.AssetIn("one_hour_candle", metadata={"look_back": "30d", "proven": True})
"""The proven hours of 30 days, as a DataFrame."""


def compute(candles: pd.DataFrame) -> pd.DataFrame:
    """The features, with the index and the symbols of the candles; hours without a price have none.

    A row is made of its own hour and those before it.
    """
    priced = candles.dropna(subset=["close"])
    close = priced.groupby("symbol", observed=True)["close"]
    found = priced[["symbol", "close"]].copy()
    found["range"] = (priced["high"] - priced["low"]) / priced["close"].abs()
    found["change"] = close.pct_change()
    # Above the mean of this hour and those before it, or below.
    found["momentum"] = priced["close"] / close.transform(lambda prices: prices.rolling(WINDOW).mean()) - 1
    changes = found.groupby("symbol", observed=True)["change"]
    found["volatility"] = changes.transform(lambda values: values.rolling(WINDOW).std())
    return found


@dg.asset(ins={"candles": HOURS}, group_name="signals")
def features(context: dg.AssetExecutionContext, candles: pd.DataFrame) -> pd.DataFrame:
    """Features of each proven hour: made again once an hour is proven, and when one is proven again."""
    found = compute(candles)
    prices = {
        str(symbol): (closes / closes.iloc[0]).tolist()
        for symbol, closes in found.groupby("symbol", observed=True)["close"]
    }
    context.add_output_metadata(
        {
            "hours": found.index.nunique(),
            "symbols": len(prices),
            "prices since the first hour": dg.MetadataValue.md(lines.markdown("prices", dict([*prices.items()][:4]))),
        }
    )
    return found


@dg.asset_check(asset=features)
def each_hour_is_there_once(features: pd.DataFrame) -> dg.AssetCheckResult:
    """No symbol has two rows of an hour, and none is of an hour that is not over."""
    hours = features.set_index("symbol", append=True).index
    twice = int(hours.duplicated().sum())
    still_open = int((features.index + pd.Timedelta("1h") > pd.Timestamp.now("UTC")).sum())
    return dg.AssetCheckResult(passed=twice + still_open == 0, metadata={"twice": twice, "not over": still_open})


@dg.asset_check(asset=features)
def features_are_in_bounds(features: pd.DataFrame) -> dg.AssetCheckResult:
    """Ranges and volatilities are not negative, and no hour changes a price by half."""
    wrong = features[(features["range"] < 0) | (features["volatility"] < 0) | (features["change"].abs() > 0.5)]
    return dg.AssetCheckResult(
        passed=wrong.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rows": len(features), "wrong": [str(hour) for hour in wrong.index[:10]]},
    )


@dg.asset_check(asset=features, additional_ins={"candles": HOURS})
def features_do_not_look_ahead(candles: pd.DataFrame) -> dg.AssetCheckResult:
    """Features of an hour are the same without the hours after it."""
    whole = compute(candles)
    changed = []
    # Some hours are enough: what looks ahead does so in all of them.
    for hour in candles.index.unique()[-2:-24:-4]:
        without = compute(candles[candles.index <= hour])
        if not without.equals(whole[whole.index <= hour]):
            changed.append(str(hour))
    return dg.AssetCheckResult(passed=not changed, metadata={"hours that changed": changed})
