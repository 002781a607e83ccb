"""What assets say of themselves: the address of the live page, where there is one."""

from __future__ import annotations

import dagster as dg
import pytest

from ticks_platform.defs.candles.candles import one_hour_candle, one_minute_candle
from ticks_platform.defs.ticks.tables import stocks_real_time

URL = "http://127.0.0.1:3001"


@pytest.mark.parametrize(
    ("load", "address"),
    [
        (one_minute_candle, f"{URL}/?interval=1m"),
        (one_hour_candle, f"{URL}/?interval=1h"),
        (stocks_real_time, URL),
    ],
)
def test_assets_link_to_the_live_page(load: object, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TICKS_LIVE_URL", raising=False)
    without = _spec(load)
    assert "live page" not in without.metadata
    monkeypatch.setenv("TICKS_LIVE_URL", URL)
    spec = _spec(load)
    assert spec.metadata["live page"] == dg.MetadataValue.url(address)
    picture = address.replace("/?", "/chart.svg?") if "?" in address else f"{address}/chart.svg"
    image = f"[![the newest candles, while the live page runs]({picture})]({address})"
    assert spec.description == f"{without.description} [Live page]({address}).\n\n{image}"


def _spec(load: object) -> dg.AssetSpec:
    assert callable(load)
    (asset,) = load().assets
    assert isinstance(asset, dg.AssetsDefinition)
    return asset.get_asset_spec()
