"""Two feeds whose ticks carry one symbol: refused, unless one is secondary; a warning where they have run already."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from ticks_platform.feeds.primary import names_of, shared
from ticks_platform.feeds.settings import PlatformSettings, SettingsError, load_settings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.paths import journal_path

Load = Callable[..., PlatformSettings]

_names = itertools.count()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a feeds.yaml with these feeds, on a machine where some have run."""
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "state" / "journal").mkdir(parents=True)

    def load_feeds(*, have_run: Sequence[str] = (), **feeds: dict[str, object]) -> PlatformSettings:
        for feed in have_run:
            journal_path(feed).touch()
        file = tmp_path / f"feeds{next(_names)}.yaml"
        file.write_text(yaml.safe_dump({"feeds": feeds}, sort_keys=False), encoding="utf-8")
        return load_settings(file)

    return load_feeds


def polygon(
    *symbols: str, market: str = "stocks", channels: Sequence[str] = (), **settings: object
) -> dict[str, object]:
    options = {"market": market, **({"channels": list(channels)} if channels else {})}
    return {"provider": "polygon", "options": options, "symbols": list(symbols), **settings}


def twelve_data(*symbols: str, **settings: object) -> dict[str, object]:
    return {"provider": "twelve_data", "symbols": list(symbols), **settings}


def test_two_primary_feeds_of_one_symbol_are_refused(load: Load) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tape=polygon("AAPL", "MSFT", "NVDA"), stocks=twelve_data("TSLA", "MSFT", "AAPL"))
    message = str(caught.value)
    assert "feeds 'tape' and 'stocks' would both make the candles of AAPL, MSFT." in message
    assert message.endswith("For example, add `candles: false`:\n    stocks:\n      candles: false")


def test_no_more_than_a_few_symbols_are_named(load: Load) -> None:
    symbols = [f"S{number}" for number in range(1000)]
    with pytest.raises(SettingsError, match=r"of S0, S1, S10, S100, S101 and 995 more\."):
        load(tape=polygon(*symbols), stocks=twelve_data(*symbols))


@pytest.mark.parametrize("secondary", ["tape", "stocks", "both"])
def test_a_secondary_feed_may_share_symbols(load: Load, secondary: str) -> None:
    settings = load(
        tape=polygon("AAPL", candles=secondary == "stocks"), stocks=twelve_data("AAPL", candles=secondary == "tape")
    )
    assert shared(settings.feeds) == []


def test_one_of_three_may_be_primary(load: Load) -> None:
    with pytest.raises(SettingsError, match="feeds 'a' and 'c' would both"):
        load(a=polygon("AAPL"), b=polygon("AAPL", candles=False), c=twelve_data("AAPL"))
    load(a=polygon("AAPL"), b=polygon("AAPL", candles=False), c=twelve_data("AAPL", candles=False))


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (twelve_data("RY:TSX", "MSFT"), twelve_data("RY:NYSE", "ry:tsx"), "RY:TSX"),
        (twelve_data("aapl"), polygon("AAPL"), "AAPL"),
        (twelve_data("btc/usd:coinbase pro"), twelve_data("BTC/USD:Coinbase Pro"), "BTC/USD:Coinbase Pro"),
        (polygon("btc-usd", market="crypto"), {"provider": "coinbase", "symbols": ["Btc-Usd"]}, "BTC-USD"),
        (polygon("X:BTC-USD", market="crypto"), {"provider": "coinbase", "symbols": ["btc/usd"]}, "BTC-USD"),
        (polygon("eur-usd", market="forex"), polygon("C:EURUSD", market="forex"), "EUR/USD"),
        (polygon("SPX", market="indices"), polygon("*", market="indices"), "I:SPX"),
        (twelve_data("EUR/USD"), polygon("EUR-USD", market="forex"), "EUR/USD"),
        (polygon("EURUSD", market="forex"), twelve_data("EUR/USD"), "EUR/USD"),
        (polygon("*"), polygon("AAPL", "BRK.B"), "AAPL, BRK.B"),
        (twelve_data("vod", "BTC/USD"), polygon("*"), "VOD"),
        (polygon("*"), polygon("*"), "[*]"),
        (polygon("*", market="crypto"), {"provider": "coinbase", "symbols": ["BTC-USD"]}, "BTC-USD"),
    ],
)
def test_names_are_those_that_ticks_carry(
    load: Load, one: dict[str, object], other: dict[str, object], name: str
) -> None:
    with pytest.raises(SettingsError, match=f"the candles of {name}[.] "):
        load(one=one, other=other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (polygon("AAPL"), polygon("AAPL", channels=["Q", "A", "AM"])),
        (polygon("BTC-USD", market="crypto"), twelve_data("BTC/USD")),
        (polygon("BACpB"), polygon("BACPB")),
        (polygon("*"), twelve_data("BTC/USD", "EUR/USD")),
        (polygon("*"), polygon("*", market="options")),
        (polygon("AAPL"), twelve_data("AAPL", endpoint="stand-in")),
    ],
)
def test_what_is_no_pair(load: Load, one: dict[str, object], other: dict[str, object]) -> None:
    load(one=one, other=other)


def test_feeds_that_both_ran_before_are_warned_of_once(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SettingsError):
        load(tape=polygon("AAPL"), stocks=twelve_data("AAPL"), have_run=["tape"])
    settings = load(tape=polygon("AAPL"), stocks=twelve_data("AAPL"), have_run=["stocks"])
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert (
        "feeds 'tape' and 'stocks' would both make the candles of AAPL. They ran before version 0.2.0, so"
        in record.message
    )
    assert [(pair.first, pair.second, pair.symbols, pair.both_ran_before) for pair in shared(settings.feeds)] == [
        ("tape", "stocks", ("AAPL",), True)
    ]
    file = Path(record.message.partition(": ")[0])
    load_settings(file)
    assert len(caplog.records) == 1, "a run reads the file every few seconds"
    with pytest.raises(SettingsError, match="feeds 'tape' and 'third'"):
        load(tape=polygon("AAPL"), stocks=twelve_data("AAPL"), third=twelve_data("AAPL"))


def test_feeds_of_this_release_are_refused(load: Load) -> None:
    for feed in ("tape", "stocks"):
        Journal(journal_path(feed), feed=feed).close()
    with pytest.raises(SettingsError, match="feeds 'tape' and 'stocks' would both make the candles of AAPL"):
        load(tape=polygon("AAPL"), stocks=twelve_data("AAPL"))


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ({"currency": "USD"}, {"currency": "CAD"}, "currency is USD in the one and CAD in the other"),
        ({"name": "Royal Bank"}, {"name": "RBC"}, "name is Royal Bank"),
        ({"round_lot": 100}, {"round_lot": {"2025-11-03": 40}}, "round_lot is 100 in the one and {2025-11-03: 40} in"),
        ({"may_be_negative": True}, {"may_be_negative": False}, "may_be_negative is True"),
        ({"calendar": "XNYS"}, {"calendar": "XTSE"}, "calendar is XNYS"),
    ],
)
def test_two_feeds_that_say_different_things_of_one_symbol_are_refused(
    load: Load, one: dict[str, object], other: dict[str, object], says: str
) -> None:
    feeds = {
        "tape": {**polygon(), "symbols": {"RY": one}},
        "second": {**twelve_data(candles=False), "symbols": {"RY": other}},
    }
    with pytest.raises(SettingsError, match="feeds 'tape' and 'second' say different things of RY: ") as caught:
        load(**feeds)
    assert says in str(caught.value)
    load(**feeds, have_run=["tape", "second"])
    # Synthetic ticks are in a database of their own.
    load(tape=feeds["tape"], second={**feeds["second"], "endpoint": "stand-in"})


def test_two_feeds_may_complete_each_other(load: Load) -> None:
    load(
        tape={**polygon(), "symbols": {"RY": {"currency": "usd", "mic": "XNYS"}}},
        second={**twelve_data(candles=False), "symbols": {"RY": {"currency": "USD", "tick_size": 0.01}}},
    )


def test_each_symbol_of_five_feeds_of_three_providers_has_one_primary(load: Load) -> None:
    def feeds(**candles: bool) -> dict[str, dict[str, object]]:
        made = {
            "tape": polygon("*"),
            "stocks": twelve_data("aapl", "RY", "RY:TSX", "btc/usd:coinbase pro"),
            "listings": twelve_data("RY:NYSE", "ry:tsx", "BTC/USD:Binance", "msft"),
            "coins": polygon("*", market="crypto"),
            "exchange": {"provider": "coinbase", "symbols": ["btc-usd", "eth-usd"]},
        }
        return {name: {**settings, "candles": candles.get(name, True)} for name, settings in made.items()}

    def primaries(symbol: str, settings: PlatformSettings) -> list[str]:
        return [feed.name for feed in settings.feeds if feed.candles and names_of(feed).contains(symbol)]

    # Whatever is declared, either each symbol has one primary feed, or the pair is named that shares it.
    accepted = []
    for chosen in itertools.product([True, False], repeat=5):
        candles = dict(zip(feeds(), chosen, strict=True))
        try:
            settings = load(**feeds(**candles))
        except SettingsError:
            continue
        accepted.append(candles)
        for symbol in ("AAPL", "RY", "RY:TSX", "RY:NYSE", "MSFT", "BTC-USD", "ETH-USD", "BTC/USD:Coinbase Pro"):
            assert len(primaries(symbol, settings)) <= 1, (symbol, candles)
    everything = {"tape": True, "stocks": False, "listings": False, "coins": True, "exchange": False}
    assert everything in accepted
    assert not any(candles["tape"] and candles["stocks"] for candles in accepted)
    assert not any(candles["stocks"] and candles["listings"] for candles in accepted)
    assert not any(candles["coins"] and candles["exchange"] for candles in accepted)
