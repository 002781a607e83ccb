"""feeds.yaml: what it may contain, and the messages for what it may not."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from ticks_platform.feeds.registry import find_connector
from ticks_platform.feeds.settings import FeedSettings, PlatformSettings, SettingsError, load_settings
from ticks_platform.feeds.twelve_data.connector import URL

SECRET = "3b6f0c1d2e4f5a6978c0d1e2f3a4b5c6"

Load = Callable[[str], PlatformSettings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a feeds.yaml of this content."""

    def load_text(text: str) -> PlatformSettings:
        path = tmp_path / "feeds.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return load_settings(path)

    return load_text


def feed(load: Load, *lines: str) -> FeedSettings:
    """A feed with these lines in place of the default ones."""
    usual = {"provider": "twelve_data", "symbols": "[AAPL]"}
    given = {line.partition(":")[0] for line in lines}
    every = [*lines, *(f"{name}: {value}" for name, value in usual.items() if name not in given)]
    return load("feeds:\n  stocks:\n" + "".join(f"    {line}\n" for line in every)).feed("stocks")


def refusal(load: Load, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(text)
    message = str(caught.value)
    assert "feeds.yaml" in message
    # A chained exception must not contain what the message leaves out.
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, OSError)
    return message


def feed_refusal(load: Load, *lines: str) -> str:
    with pytest.raises(SettingsError) as caught:
        feed(load, *lines)
    message = str(caught.value)
    assert "feeds.yaml" in message
    return message


def test_the_shipped_file(repository_root: Path) -> None:
    settings = load_settings(repository_root / "feeds.yaml")
    # A first start shows synthetic ticks; nobody uses a live feed by mistake.
    assert settings.feeds
    assert all(feed.synthetic for feed in settings.feeds)
    for feed in settings.feeds:
        assert feed.connector(stand_in_url="ws://127.0.0.1:1/v1/quotes/price").endpoint()


def test_the_feeds_that_the_shipped_file_suggests(repository_root: Path, load: Load) -> None:
    shipped = (repository_root / "feeds.yaml").read_text(encoding="utf-8").splitlines()
    suggested = [line.replace("  #", "", 1) for line in shipped if line.startswith("  #")]
    text = "\n".join(line for line in suggested if re.match(r" [a-z]+:$|   ", line))  # without prose
    settings = load("feeds:\n" + textwrap.indent(textwrap.dedent(text), "  "))
    assert [feed.name for feed in settings.feeds] == ["stocks", "crypto", "tape", "coins", "coinbase"]
    for feed in settings.feeds:
        assert feed.endpoint == "live"
        assert feed.api_key_env or not find_connector(feed.provider).requires_key


def test_forms_of_symbols(load: Load) -> None:
    mapping = feed(load, "symbols: {AAPL: Apple, BTC/USD: Bitcoin, MSFT: }")
    mixed = feed(load, "symbols: [{symbol: AAPL, name: Apple}, {symbol: BTC/USD, name: Bitcoin}, MSFT]")
    assert mapping.symbols == mixed.symbols
    assert [(item.symbol, item.name) for item in mapping.symbols] == [
        ("AAPL", "Apple"),
        ("BTC/USD", "Bitcoin"),
        ("MSFT", None),
    ]
    assert [item.symbol for item in feed(load, "symbols: ['0700', RY:TSX, 'ON']").symbols] == ["0700", "RY:TSX", "ON"]


def test_what_is_said_of_an_instrument(load: Load) -> None:
    (item,) = feed(
        load,
        "symbols: {VOD: {name: Vodafone, asset_class: stock, mic: xlon, currency: GBp, tick_size: 0.02, round_lot: 1}}",
    ).symbols
    assert (item.symbol, item.name, item.asset_class, item.mic, item.currency) == (
        "VOD",
        "Vodafone",
        "stock",
        "XLON",
        "GBX",
    )
    assert item.round_lot == {date.min: 1}
    lots = feed(load, "symbols: {NVDA: {round_lot: {2025-11-03: 100, 2026-05-01: 40}, may_be_negative: false}}")
    assert lots.symbols[0].round_lot == {date(2025, 11, 3): 100, date(2026, 5, 1): 40}
    assert FeedSettings.model_validate(lots.model_dump()) == lots


@pytest.mark.parametrize(("given", "code"), [("GBP", "GBP"), ("gbp", "GBP"), ("GBp", "GBX"), ("gbx", "GBX")])
def test_pounds_and_pence_are_two_currencies(load: Load, given: str, code: str) -> None:
    assert feed(load, f"symbols: {{VOD: {{currency: {given}}}}}").symbols[0].currency == code


def test_forms_of_feeds(load: Load) -> None:
    mapping = load("feeds: {a: {provider: twelve_data, symbols: [X]}, b: {provider: twelve_data, symbols: [Y]}}")
    listed = load(
        "feeds: [{name: a, provider: twelve_data, symbols: [X]}, {name: b, provider: twelve_data, symbols: [Y]}]"
    )
    assert mapping == listed
    assert mapping.feed("b").symbols[0].symbol == "Y"
    with pytest.raises(SettingsError, match=r"no feed 'c'.*a, b"):
        mapping.feed("c")


def test_settings_survive_a_round_trip(repository_root: Path) -> None:
    settings = load_settings(repository_root / "feeds.yaml")
    assert PlatformSettings.model_validate(settings.model_dump()) == settings
    assert PlatformSettings(feeds=settings.feeds, stand_in=settings.stand_in) == settings


def test_anchors_and_merges(load: Load) -> None:
    settings = load(
        """
        feeds:
          a: &usual {provider: twelve_data, endpoint: stand-in, symbols: [X]}
          b:
            <<: *usual
            symbols: [Y]
        """
    )
    assert [item.symbol for item in settings.feed("b").symbols] == ["Y"]
    assert settings.feed("b").synthetic


def test_defaults(load: Load) -> None:
    usual = feed(load)
    assert usual.endpoint == "live"
    assert not usual.synthetic
    assert usual.api_key_env is None


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        ("provider: reuters", "provider", "twelve_data"),
        ("provider: ", "provider", "string"),
        ("endpoint: https://example.org/", "endpoint", "ws://"),
        ("endpoint: stand_in", "endpoint", "'stand-in'"),
        ("endpoint: 'wss://'", "endpoint", "host"),
        ("endpoint: 'wss://:443/x'", "endpoint", "host"),
        ("endpoint: 'wss://host:none/'", "endpoint", "port"),
        ("endpoint: 'wss://host:99999/'", "endpoint", "port"),
        ("endpoint: 'wss://[::1/'", "endpoint", "host"),
        ("api_key_env: my-key", "api_key_env", "environment variable"),
        ("api_key_env: ''", "api_key_env", "environment variable"),
        ("symbols: []", "symbols", "at least one"),
        ("symbols: {}", "symbols", "at least one"),
        ("symbols: ", "symbols", "list"),
        ("symbols: AAPL", "symbols", "list"),
        ("symbols: ['']", "symbols.0.symbol", "at least 1"),
        ("symbols: ['A, B']", "symbols.0.symbol", "no comma"),
        ("symbols: ['A,B']", "symbols.0.symbol", "no comma"),
        (f"symbols: [AAPL, {'X' * 3000}]", "symbols", "symbol 'XXXX"),
        (f"symbols: [AAPL, {'X' * 101}]", "symbols", "of feed 'stocks' has 101 characters; at most 100"),
        ('symbols: ["A\\0B"]', "symbols", "symbol 'A\\x00B' of feed 'stocks' has characters that cannot be printed"),
        ("symbols: [[A]]", "symbols.0.symbol", "string"),
        ("symbols: {A: {symbol: B}}", "symbols", "the key above"),
        ("symbols: {A: {price: 3}}", "symbols.A.price", "unknown setting"),
        ("symbols: {A: {curency: USD}}", "symbols.A.curency", "did you mean 'currency'?"),
        ("symbols: {A: [USD]}", "symbols.A.name", "string"),
        ("symbols: {A: {asset_class: Stocks}}", "symbols.A.asset_class", "option, bond, other; did you mean 'stock'?"),
        ("symbols: {A: {asset_class: 7}}", "symbols.A.asset_class", "must be one of stock, etf"),
        ("symbols: {A: {mic: NASDAQ}}", "symbols.A.mic", "such as XNAS"),
        ("symbols: {A: {mic: 1234}}", "symbols.A.mic", "string"),
        ("symbols: {A: {currency: $}}", "symbols.A.currency", "GBX for pence"),
        ("symbols: {A: {tick_size: 0}}", "symbols.A.tick_size", "greater than 0"),
        ("symbols: {A: {tick_size: .inf}}", "symbols.A.tick_size", "finite"),
        ("symbols: {A: {round_lot: 0}}", "symbols.A.round_lot", "greater than 0"),
        ("symbols: {A: {round_lot: many}}", "symbols.A.round_lot", "mapping of dates"),
        ("symbols: {A: {round_lot: {}}}", "symbols.A.round_lot", "mapping of dates"),
        ("symbols: {A: {round_lot: {2025: 40}}}", "symbols.A.round_lot", "mapping of dates"),
        ("symbols: {A: {round_lot: {2025-11-03: 0}}}", "symbols.A.round_lot.2025-11-03", "greater than 0"),
        ("symbols: {A: {may_be_negative: maybe}}", "symbols.A.may_be_negative", "boolean"),
        ("symbols: {A: {calendar: XABC}}", "symbols.A.calendar", "XABC"),
        ("symbols: [A, {name: B}]", "symbols.1.symbol", "is missing"),
        ("symbols: [{symbol: A, price: 3}]", "symbols.0.price", "unknown setting"),
        ("symbols: [AAPL, MSFT, AAPL]", "symbols", "listed twice: AAPL"),
        ("symbols: ['AAPL ']", "symbols.0.symbol", "no space at its begin or end"),
        ("symbols: {'AAPL, MSFT': both}", "symbols.AAPL, MSFT.symbol", "no comma"),
        ("symbols: ['RY:']", "symbols", "such as RY or RY:TSX"),
        ("symbols: [':TSX']", "symbols", "such as RY or RY:TSX"),
        ("symbols: ['RY:TSX:NYSE']", "symbols", "such as RY or RY:TSX"),
        ("symbols: [ON]", "symbols", "must quote"),
        ("symbols: {NO: Norway}", "symbols", "must quote"),
        ("symbols: [0700]", "symbols", "must quote"),
        ("symbols: [1211]", "symbols", "must quote"),
        ("stale_after_seconds: 0", "stale_after_seconds", "greater than 0"),
        ("stale_after_seconds: soon", "stale_after_seconds", "number"),
        ("stale_after_seconds: .inf", "stale_after_seconds", "finite"),
        ("stale_after_seconds: .nan", "stale_after_seconds", "finite"),
        ("symbol: AAPL", "symbol", "unknown setting; did you mean 'symbols'?"),
        ("api_key: x", "api_key", "unknown setting; did you mean 'api_key_env'?"),
    ],
)
def test_each_error_names_file_feed_and_field(load: Load, line: str, field: str, says: str) -> None:
    message = feed_refusal(load, line)
    (problem,) = message.splitlines()[1:]
    place, _, reason = problem.strip().partition(": ")
    assert place == f"feeds.stocks.{field}"
    assert says in reason


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("", "(top level)", "must have settings, such as feeds"),
        ("- a", "(top level)", "must have settings, such as feeds"),
        ("feeds: {}", "feeds", "at least one"),
        ("feeds: ", "feeds", "mapping"),
        ("feeds: stocks", "feeds", "mapping"),
        ("feeds: {stocks: }", "feeds", "mapping"),
        ("feeds: {stocks: twelve_data}", "feeds", "mapping"),
        ("feeds: {stocks: [twelve_data]}", "feeds", "mapping"),
        ("feeds: {stocks: {name: other, provider: twelve_data, symbols: [A]}}", "feeds", "the key above"),
        ("feeds: {Stocks: {provider: twelve_data, symbols: [A]}}", "feeds.Stocks.name", "pattern"),
        ("feeds: {manual: {provider: twelve_data, symbols: [A]}}", "feeds.manual.name", "inserted by hand"),
        ("feeds: {1: {provider: twelve_data, symbols: [A]}}", "feeds.1.name", "string"),
        ("feeds: [{provider: twelve_data, symbols: [A]}]", "feeds.0.name", "is missing"),
        (
            "feeds: [{name: a, provider: twelve_data, symbols: [A]}, {name: a, provider: twelve_data, symbols: [B]}]",
            "feeds",
            "same name",
        ),
        ("feeds: {a: {provider: twelve_data, symbols: [A]}}\nstand_in: {rate: 0}", "stand_in.rate", "greater than 0"),
        ("feeds: {a: {provider: twelve_data, symbols: [A]}}\nstand_in: {seed: x}", "stand_in.seed", "integer"),
        (
            "feeds: {a: {provider: twelve_data, symbols: [A]}}\nstand_in: {keys: [x]}",
            "stand_in.keys",
            "unknown setting",
        ),
        (
            "feeds: {a: {provider: twelve_data, symbols: [A]}}\nfeed: {}",
            "feed",
            "unknown setting; did you mean 'feeds'?",
        ),
    ],
)
def test_errors_above_a_feed(load: Load, text: str, place: str, says: str) -> None:
    (problem,) = refusal(load, text).splitlines()[1:]
    assert problem.strip().startswith(f"{place}: ")
    assert says in problem


def test_all_errors_at_once(load: Load) -> None:
    message = feed_refusal(load, "provider: reuters", "endpoint: nowhere", "symbols: []", "more: 1")
    assert len(message.splitlines()) == 5


@pytest.mark.parametrize(
    "line",
    [
        f"api_key_env: {SECRET}",
        f"api_key_env: sk_{SECRET}",
        f"endpoint: {SECRET}",
        f"endpoint: wss://ws.twelvedata.com/v1/quotes/price?apikey={SECRET}",
        f"endpoint: wss://ws.twelvedata.com/v1/quotes/price?APIKEY={SECRET}",
        f"endpoint: wss://example.org/?api_key={SECRET}",
        f"endpoint: wss://example.org/?token={SECRET}",
        f"endpoint: wss://user:{SECRET}@example.org/",
        f"provider: {SECRET}",
        f"api_key: {SECRET}",
        f"symbols: {SECRET}",
        f"symbols: ['my, {SECRET}']",
        f"stale_after_seconds: {SECRET}",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(load: Load, line: str) -> None:
    assert SECRET not in feed_refusal(load, line)


@pytest.mark.parametrize(
    "text",
    [
        f"feeds:\n  stocks:\n    api_key_env: {SECRET}: x\n",
        f"feeds:\n  stocks:\n    api_key_env: '{SECRET}\n",
        f"feeds:\n\tapi_key_env: {SECRET}\n",
        f"feeds: [{SECRET}\n",
        f"api_key: !key {SECRET}\n",
    ],
)
def test_a_secret_in_bad_yaml_is_not_repeated(load: Load, text: str) -> None:
    message = refusal(load, text)
    assert SECRET not in message
    assert "not valid YAML: line " in message


def test_duplicate_keys(load: Load) -> None:
    # PyYAML keeps the last one, which would silently drop a feed or a symbol.
    twice = "    provider: twelve_data\n    symbols: [A]\n"
    message = refusal(load, f"feeds:\n  stocks:\n{twice}  stocks:\n{twice}")
    assert "line 5, column 3: duplicate key" in message
    assert "duplicate key" in feed_refusal(load, "symbols: {AAPL: Apple, MSFT: Microsoft, AAPL: Apple}")


def test_files_that_cannot_be_read(tmp_path: Path, load: Load) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml: No such file"):
        load_settings(tmp_path / "absent.yaml")
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("feeds: {a: ü}".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"latin\.yaml is not UTF-8"):
        load_settings(tmp_path / "latin.yaml")
    assert "not valid YAML" in refusal(load, "feeds: \x01")
    no_day = refusal(load, "feeds: {a: {provider: twelve_data, symbols: {NVDA: {round_lot: {2025-13-03: 40}}}}}")
    assert "not valid YAML: line 1, column 65: a date or time that does not exist" in no_day


def test_yaml_makes_no_objects(load: Load) -> None:
    assert "not valid YAML" in refusal(load, "feeds: !!python/object/apply:os.getcwd []")


@pytest.mark.parametrize("value", [None, "", "  \n"])
@pytest.mark.parametrize("endpoint", ["live", "wss://example.org/feed", "ws://127.0.0.1:1/"])
def test_a_missing_key_names_its_variable(
    load: Load, monkeypatch: pytest.MonkeyPatch, endpoint: str, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("TICKS_TEST_KEY", raising=False)
    else:
        monkeypatch.setenv("TICKS_TEST_KEY", value)
    stocks = feed(load, f"endpoint: {endpoint}", "api_key_env: TICKS_TEST_KEY")
    # Never falls back to the stand-in.
    with pytest.raises(
        SettingsError, match=r"'stocks'.*put TICKS_TEST_KEY=… into .*, or set the environment variable of that name"
    ):
        stocks.connector(stand_in_url="ws://127.0.0.1:1/v1/quotes/price")


def test_a_live_feed_that_names_no_variable(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"'stocks'.*api_key_env"):
        feed(load).connector(stand_in_url="ws://127.0.0.1:1/v1/quotes/price")


@pytest.mark.parametrize(("endpoint", "url"), [("live", URL), ("wss://example.org/feed", "wss://example.org/feed")])
def test_a_live_feed_with_its_key(load: Load, monkeypatch: pytest.MonkeyPatch, endpoint: str, url: str) -> None:
    monkeypatch.setenv("TICKS_TEST_KEY", f" {SECRET}\n")
    live = feed(load, f"endpoint: {endpoint}", "api_key_env: TICKS_TEST_KEY", "symbols: {AAPL: Apple, MSFT: }")
    speaker = live.connector(stand_in_url="ws://127.0.0.1:1/v1/quotes/price")
    assert live.symbol_names() == ("AAPL", "MSFT")
    assert speaker.endpoint().url == url
    assert SECRET in speaker.endpoint().headers.values()
    assert SECRET not in repr(live)


def test_the_stand_in_never_gets_the_key(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_TEST_KEY", SECRET)
    synthetic = feed(load, "endpoint: stand-in", "api_key_env: TICKS_TEST_KEY")
    assert synthetic.synthetic
    endpoint = synthetic.connector(stand_in_url="ws://127.0.0.1:1/v1/quotes/price").endpoint()
    assert endpoint.url == "ws://127.0.0.1:1/v1/quotes/price"
    assert SECRET not in endpoint.headers.values()
    with pytest.raises(SettingsError, match=r"'stocks'.*has not been started"):
        synthetic.connector()
