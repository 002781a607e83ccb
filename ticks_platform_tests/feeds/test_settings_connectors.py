"""Connectors, their options and calendars in feeds.yaml."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from ticks_platform.feeds import registry
from ticks_platform.feeds.calendars import calendar
from ticks_platform.feeds.connector import Connector, Conversation, Reaction
from ticks_platform.feeds.events import Control, Event, Tick
from ticks_platform.feeds.polygon.connector import CHANNELS, PolygonConnector, PolygonOptions
from ticks_platform.feeds.registry import UnknownProviderError, find_connector
from ticks_platform.feeds.settings import FeedSettings, SettingsError, load_settings
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector

HERE = __name__


class Mute(Conversation):
    """Sends nothing."""

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return ()

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return ()

    def receive(self, frame: bytes) -> Reaction:
        return Reaction()


class DepthOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    depth: int = 5


class Kraken(Connector):
    """A connector of another package."""

    requires_key = False
    Options = DepthOptions

    @classmethod
    def live_url(cls, options: DepthOptions) -> str:
        return f"wss://kraken.example/{options.depth}"

    def converse(self) -> Conversation:
        return Mute()

    def decode(self, frame: bytes) -> list[Event]:
        return [Control("nothing")]


class HalfConnector(Connector):
    """An abstract connector."""


NOT_ONE = object()


class Entry:
    """The used part of an entry point."""

    def __init__(self, name: str, found: Any) -> None:
        self.name = name
        self._found = found

    def load(self) -> Any:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def feed(**fields: Any) -> FeedSettings:
    return FeedSettings.model_validate({"name": "prices", "provider": "polygon", "symbols": ["AAPL"], **fields})


def complaints(tmp_path: Path, lines: str) -> list[tuple[str, str]]:
    """Place and message of each error in a feed with these lines."""
    path = tmp_path / "feeds.yaml"
    text = "provider: polygon\nsymbols: [AAPL]\n" if "provider:" not in lines else "symbols: [AAPL]\n"
    path.write_text("feeds:\n  prices:\n" + textwrap.indent(text + lines, "    "), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    problems = [line.strip().partition(": ") for line in str(caught.value).splitlines()[1:]]
    return [(place, text) for place, _, text in problems]


@pytest.mark.parametrize(
    ("line", "place", "says"),
    [
        ("options: {market: futures}", "options", "market: "),
        ("options: {market: stocks, channels: [T, XT]}", "options", "channels: "),
        ("options: {market: stocks, channels: [T, XT]}", "options", "stocks has no channel XT; it has T, Q, A, AM"),
        ("options: {channels: [NOI]}", "options", "stocks has no channel NOI"),
        ("options: {channels: T}", "options", "channels: "),
        ("options: {cluster: 'evil.example/'}", "options", "cluster: "),
        ("options: {domain: example.org}", "options", "domain: "),
        ("options: {chanels: [T]}", "options", "chanels: unknown setting; did you mean 'channels'?"),
        (
            "options: {market: crypto, channels: [T, Q]}",
            "options",
            "crypto has no channel T, Q; it has XT, XQ, XA, XAS",
        ),
        ("options: [T]", "options", "must be a section of settings"),
        ("options: {depth: 5}\nprovider: twelve_data", "options", "depth: "),
        ("options: {depth: deep}\nprovider: " + HERE + ".Kraken", "options", "depth: "),
        ("provider: iex", "provider", "polygon, twelve_data"),
        ("provider: no_such_module.Kraken", "provider", "cannot be loaded"),
        ("provider: " + HERE + ".NoSuchClass", "provider", "cannot be loaded"),
        ("provider: " + HERE + ".NOT_ONE", "provider", "not a concrete subclass"),
        ("provider: " + HERE + ".HalfConnector", "provider", "not a concrete subclass"),
        ("provider: ticks_platform.feeds.connector.Connector", "provider", "not a concrete subclass"),
        ("provider: json.loads", "provider", "not a concrete subclass"),
        ("provider: .Kraken", "provider", "cannot be loaded"),
        ("provider: '.'", "provider", "cannot be loaded"),
        ("provider: a..b", "provider", "cannot be loaded"),
        ("provider: ''", "provider", "no connector has this name"),
        ("calendar: MARS", "calendar", "'always' or '24/5'"),
        ("calendar: ''", "calendar", "'always' or '24/5'"),
        ("calendar: XBSE", "calendar", "same hours, or 'always'"),
        ("symbols_per_connection: 0", "symbols_per_connection", "greater than or equal to 1"),
        ("symbols_per_connection: 1.5", "symbols_per_connection", "integer"),
        ("synthetic_endpoint: perhaps", "synthetic_endpoint", "boolean"),
        ("metrics_port: 0", "metrics_port", "greater than or equal to 1"),
    ],
)
def test_each_error_names_the_field(tmp_path: Path, line: str, place: str, says: str) -> None:
    ((found, text),) = complaints(tmp_path, line)
    assert found == f"feeds.prices.{place}"
    assert says in text
    assert not text.startswith("Value error"), "pydantic says that of what a check of ours says"


def test_a_calendar_of_one_symbol(tmp_path: Path) -> None:
    path = tmp_path / "feeds.yaml"
    path.write_text(
        "feeds: {prices: {provider: polygon, symbols: [AAPL, {symbol: SHEL, calendar: MARS}]}}", encoding="utf-8"
    )
    with pytest.raises(SettingsError, match=r"feeds\.prices\.symbols\.1\.calendar: .*MARS"):
        load_settings(path)


def test_what_was_pasted_into_the_wrong_field_is_not_repeated(tmp_path: Path) -> None:
    secret = "3b6f0c1d2e4f5a6978c0d1e2f3a4b5c6"
    for line in (f"options: {{cluster: '{secret.upper()}'}}", f"options: {{domain: {secret}}}", f"provider: {secret}"):
        ((_, text),) = complaints(tmp_path, line)
        assert secret not in text.lower()


def test_polygon_in_feeds_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_KEY", "the-key")
    usual = feed(api_key_env="POLYGON_KEY").connector()
    assert isinstance(usual, PolygonConnector)
    assert usual.endpoint().url == "wss://socket.massive.com/stocks"
    assert usual.channels("AAPL") == ("T.AAPL",)
    options = {"market": "crypto", "channels": ["XT", "XAS"], "cluster": "delayed", "domain": "polygon.io"}
    other = feed(api_key_env="POLYGON_KEY", options=options).connector()
    assert other.endpoint().url == "wss://delayed.polygon.io/crypto"
    assert other.channels("BTC-USD") == ("XT.BTC-USD", "XAS.BTC-USD")
    local = feed(endpoint="stand-in").connector(stand_in_url="ws://127.0.0.1:1/stocks")
    assert local.endpoint().url == "ws://127.0.0.1:1/stocks"
    with pytest.raises(SettingsError, match="API key"):
        feed().connector()


def test_every_channel_of_every_market() -> None:
    for market, channels in CHANNELS.items():
        assert PolygonOptions.model_validate({"market": market, "channels": channels}).channels == channels


def test_decoders_need_no_key() -> None:
    frame = b'[{"ev":"T","sym":"AAPL","p":1.5,"t":1536036818784}]'
    assert feed().decoder()(frame) == [Tick("AAPL", 1536036818784 * 10**6, 1.5)]


def test_a_connector_by_the_name_of_its_class() -> None:
    own = feed(provider=f"{HERE}.Kraken", options={"depth": 10})
    found = own.connector()
    assert isinstance(found, Kraken)
    assert found.endpoint().url == "wss://kraken.example/10"
    assert own.decoder()(b"") == [Control("nothing")]
    assert feed(provider=f"{HERE}.Kraken", endpoint="ws://127.0.0.1:1/x").connector().url == "ws://127.0.0.1:1/x"


def test_connectors_of_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        Entry("kraken", Kraken),
        Entry("half", HalfConnector),
        Entry("gone", ModuleNotFoundError("No module named 'gone'")),
        Entry("broken", NameError("name 'x' is not defined")),
        Entry("polygon", Kraken),
        Entry("dotted.name", Kraken),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == registry.ENTRY_POINTS else [])
    # The name was free before a connector of ours had it.
    assert find_connector("kraken") is Kraken
    assert find_connector("dotted.name") is Kraken
    # The built-in connectors cannot be replaced.
    assert find_connector("polygon") is PolygonConnector
    assert find_connector("twelve_data") is TwelveDataConnector
    for name, says in (
        ("half", "not a concrete subclass"),
        ("gone", "No module named 'gone'"),
        ("broken", "not defined"),
        ("iex", "known are: alpaca, binance, broken, coinbase, dotted.name, gone, half, kraken, polygon, twelve_data"),
    ):
        with pytest.raises(UnknownProviderError, match=says):
            find_connector(name)


def test_a_module_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "feed_that_fails.py").write_text("1 / 0\n", encoding="utf-8")
    (tmp_path / "feed_of_no_syntax.py").write_text("class\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("feed_that_fails", "feed_of_no_syntax"):
        with pytest.raises(UnknownProviderError, match="cannot be loaded"):
            find_connector(f"{module}.Feed")


def test_which_calendar_counts() -> None:
    def names(**fields: Any) -> dict[str, str]:
        return {symbol: each.name for symbol, each in feed(**fields).calendars().items()}

    assert names() == {"AAPL": "XNYS"}
    assert names(options={"market": "crypto"}, symbols=["BTC-USD"]) == {"BTC-USD": "always"}
    assert names(options={"market": "forex"}, symbols=["EUR-USD"]) == {"EUR/USD": "24/5"}
    assert names(provider="twelve_data", symbols=["RY:TSX", "EUR/USD"]) == {"RY:TSX": "XTSE", "EUR/USD": "24/5"}
    mixed = ["AAPL", {"symbol": "SHEL", "calendar": "XLON"}]
    assert names(symbols=mixed) == {"AAPL": "XNYS", "SHEL": "XLON"}
    assert names(symbols=mixed, calendar="XTKS") == {"AAPL": "XTKS", "SHEL": "XLON"}
    # Synthetic prices never stop, unless a calendar is set.
    assert names(endpoint="stand-in") == {"AAPL": "always"}
    assert names(endpoint="stand-in", calendar="XNYS") == {"AAPL": "XNYS"}
    assert feed().calendars()["AAPL"] is calendar("XNYS")


def test_synthetic_prices_by_url() -> None:
    by_url = feed(endpoint="ws://127.0.0.1:1/stocks", synthetic_endpoint=True)
    assert by_url.synthetic
    assert by_url.calendars()["AAPL"].name == "always"
    assert not feed(endpoint="ws://127.0.0.1:1/stocks").synthetic
    assert feed(endpoint="stand-in").synthetic
    assert not feed().synthetic


def test_how_many_symbols_a_connection_carries() -> None:
    assert feed().symbols_per_connection is None
    assert feed(symbols_per_connection=1).symbols_per_connection == 1


def test_changes_that_a_running_ingestion_can_apply() -> None:
    one = feed()
    assert one.only_symbols_differ(feed(symbols=["MSFT", {"symbol": "SHEL", "calendar": "XLON"}]))
    assert one.only_symbols_differ(one)
    assert one.only_symbols_differ(feed(symbols={"AAPL": {"name": "Apple", "currency": "USD", "round_lot": 100}}))
    for other in (feed(options={"channels": ["Q"]}), feed(calendar="XLON"), feed(symbols_per_connection=3)):
        assert not one.only_symbols_differ(other)
        assert not other.only_symbols_differ(one)


@pytest.mark.parametrize(
    ("provider", "options", "given", "tolerance"),
    [
        ("polygon", {}, None, 1e-9),
        ("polygon", {"channels": ["T", "AM"]}, None, 1e-9),
        ("polygon", {"channels": ["Q", "AM"]}, None, 0.01),
        ("polygon", {"market": "crypto", "channels": ["XT", "XA"]}, None, 0.01),
        ("twelve_data", {}, None, 0.01),
        ("polygon", {}, 0.02, 0.02),
        ("polygon", {}, 0.0, 0.0),
    ],
)
def test_bars_may_differ_by_a_rounding_error_where_both_follow_the_same_rules(
    provider: str, options: dict[str, Any], given: float | None, tolerance: float
) -> None:
    feed = FeedSettings.model_validate(
        {"name": "a", "provider": provider, "options": options, "symbols": [{"symbol": "X"}], "bar_tolerance": given}
    )
    assert feed.tolerance == tolerance


US_HOURS = "XNYS 04:00-20:00"


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"provider": "polygon", "symbols": ["AAPL"]}, {"AAPL": US_HOURS}),
        ({"provider": "polygon", "symbols": ["AAPL"], "hours": "regular"}, {"AAPL": "XNYS"}),
        ({"provider": "polygon", "symbols": ["AAPL"], "hours": "always"}, {"AAPL": "always"}),
        ({"provider": "polygon", "symbols": ["AAPL"], "calendar": "NASDAQ"}, {"AAPL": "NASDAQ 04:00-20:00"}),
        ({"provider": "polygon", "symbols": ["AAPL"], "endpoint": "stand-in"}, {"AAPL": "always"}),
        ({"provider": "polygon", "symbols": ["I:SPX"], "options": {"market": "indices"}}, {"I:SPX": "XNYS"}),
        ({"provider": "polygon", "symbols": ["EUR/USD"], "options": {"market": "forex"}}, {"EUR/USD": "24/5"}),
        ({"provider": "polygon", "symbols": ["BTC-USD"], "options": {"market": "crypto"}}, {"BTC-USD": "always"}),
        (
            {
                "provider": "twelve_data",
                "symbols": [
                    "AAPL",
                    "RY:TSX",
                    "EUR/USD",
                    {"symbol": "7203", "calendar": "XTKS"},
                    {"symbol": "SPY", "hours": "07:00-20:00"},
                ],
            },
            {"AAPL": US_HOURS, "RY:TSX": "XTSE", "EUR/USD": "24/5", "7203": "XTKS", "SPY": "XNYS 07:00-20:00"},
        ),
        ({"provider": "coinbase", "symbols": ["BTC-USD"]}, {"BTC-USD": "always"}),
        (
            {"provider": "twelve_data", "symbols": ["BTC/USD", {"symbol": "MRU/EUR", "asset_class": "crypto"}]},
            {"BTC/USD": "always", "MRU/EUR": "always"},
        ),
    ],
)
def test_sending_hours(settings: dict[str, Any], names: dict[str, str]) -> None:
    """By the connector for its own market, or as feeds.yaml says."""
    feed = FeedSettings.model_validate({"name": "feed", **settings})
    assert {symbol: calendar.name for symbol, calendar in feed.sending_calendars().items()} == names


@pytest.mark.parametrize("hours", ["4-20", "04:00-24:01", "extended", "04:00 - 20:00"])
def test_hours_are_validated_in_words(hours: str) -> None:
    for settings in ({"hours": hours, "symbols": ["AAPL"]}, {"symbols": [{"symbol": "AAPL", "hours": hours}]}):
        with pytest.raises(ValidationError, match="'regular', 'always', or the begin and the end"):
            FeedSettings.model_validate({"name": "feed", "provider": "polygon", **settings})


@pytest.mark.parametrize(
    ("provider", "channels"),
    [("alpaca", ["quotes", "trades"]), ("polygon", ["Q", "T"]), ("binance", ["bookTicker", "trade"])],
)
def test_a_channel_that_is_listed_twice_is_subscribed_to_once(provider: str, channels: list[str]) -> None:
    def channels_of(*listed: str) -> tuple[str, ...]:
        settings = {"name": "listed", "provider": provider, "symbols": ["BTC"], "api_key_env": "NO_KEY_IS_NEEDED"}
        found = FeedSettings.model_validate({**settings, "options": {"channels": list(listed)}})
        return found.keyless_connector().channels("BTC")

    assert channels_of(*channels, *channels) == channels_of(*channels)


@pytest.mark.parametrize("provider", ["twelve_data", "coinbase", "kraken", "binance"])
def test_all_of_a_market_is_refused_where_it_cannot_be_asked_for(provider: str) -> None:
    with pytest.raises(ValidationError, match="cannot be subscribed to at once here: name the symbols"):
        FeedSettings.model_validate({"name": "all", "provider": provider, "symbols": ["*"]})


@pytest.mark.parametrize("provider", ["polygon", "alpaca"])
def test_all_of_a_market_is_asked_for_where_it_can_be(provider: str) -> None:
    FeedSettings.model_validate({"name": "all", "provider": provider, "symbols": ["*"]})
