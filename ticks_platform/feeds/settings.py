"""The settings of ``feeds.yaml``. A secret is given by the name of its environment variable."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from ticks_platform import env_file
from ticks_platform.feeds.calendars import ALWAYS, REGULAR, Calendar, calendar, is_same_market, with_hours
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.endpoint import STAND_IN as STAND_IN
from ticks_platform.feeds.endpoint import check_endpoint
from ticks_platform.feeds.events import Event
from ticks_platform.feeds.groups import check_groups
from ticks_platform.feeds.history import History
from ticks_platform.feeds.journal_copy import check_streams
from ticks_platform.feeds.primary import MANUAL, Shared, shared
from ticks_platform.feeds.registry import find_connector
from ticks_platform.feeds.run_tags import RunTags
from ticks_platform.feeds.sections import JournalSettings as JournalSettings
from ticks_platform.feeds.sections import RepairSettings, check_past
from ticks_platform.feeds.sections import StandInSettings as StandInSettings
from ticks_platform.feeds.symbol_settings import (
    CalendarName,
    Contradiction,
    Section,
    SendingHours,
    asked,
    check_names,
    check_storable,
    contradictions,
    each_once,
)
from ticks_platform.feeds.symbol_settings import SymbolSettings as SymbolSettings
from ticks_platform.masking import know_variable
from ticks_platform.settings_file import SettingsError as SettingsError
from ticks_platform.settings_file import explain, read_settings, section

logger = logging.getLogger(__name__)


class FeedSettings(Section):
    """One configured upstream."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    provider: str
    """``twelve_data``, ``polygon``, a name that a package registers, or the dotted name of a connector's class."""
    endpoint: str = "live"
    """``live`` for the provider's own address, ``stand-in`` for the local synthetic one, or a ws:// or wss:// URL."""
    synthetic_endpoint: bool = False
    """Whether the server at the URL in `endpoint` makes its prices up."""
    options: dict[str, Any] = {}  # noqa: RUF012  (pydantic copies it)
    """Settings of the provider's connector, such as Polygon's market and channels."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the API key."""
    symbols: tuple[SymbolSettings, ...]
    calendar: CalendarName | None = None
    """When silence is suspicious: ``always``, ``24/5`` or an exchange's MIC such as XNYS. Connectors have a default."""
    hours: SendingHours | None = None
    """When the provider sends, so that data can be missing: ``regular`` for the calendar's hours, ``always``, or an
    interval in the calendar's own time. Connectors have a default: ``04:00-20:00`` for US stocks, else ``regular``."""
    symbols_per_connection: Annotated[int, Field(ge=1)] | None = None
    """Most symbols of one connection; more are spread over several connections. By default as many as the provider
    accepts, if it has a limit that holds for every plan."""
    overlap: bool | None = None
    """Whether a run that replaces another one connects before that one disconnects, so that nothing is missed between
    them. By default if every plan of the provider allows more than one connection."""
    hand_over_on_reload: bool | None = None
    """Whether a reload of the code location replaces the run, so that it runs the new code. By default if the runs
    overlap, since nothing is missed then."""
    stale_after_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Seconds without a tick in an open market after which the feed is stalled and the check ticks_are_fresh fails."""
    max_message_megabytes: Annotated[int, Field(ge=1, le=1024)] = 16
    """Largest message of the provider. A larger one ends the connection, which is opened again. So does one for which a
    small journal has no room: about a third of its max_megabytes."""
    journal: JournalSettings = JournalSettings()
    repair: RepairSettings = RepairSettings()
    candles: bool = True
    """Whether its ticks make the candles of its symbols. A symbol has one such feed, its primary one; the ticks of
    others are stored, and counted, but change no candle. After a change, run the job apply_primary_feeds."""
    true_up: Literal["bars", "trades", "off"] = "bars"
    """How the trades of a day are checked after its end, since providers cancel and correct trades without a word on
    the WebSocket: ``bars`` fetches the provider's minute bars and the trades of the minutes that differ, ``trades`` all
    trades of the day."""
    bar_tolerance: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Relative difference between our candles and the provider's bars above which a check fails. By default a rounding
    error, 1e-9, for trades of US stocks by Polygon, and 0.01 for other feeds."""
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Port on loopback that serves Prometheus metrics while this feed is ingested; none by default."""
    run_tags: RunTags = {}  # noqa: RUF012  (pydantic copies it)
    """Tags of its runs in Dagster, for the launcher: a queue, a pool of nodes, ``dagster-k8s/config``. They are shown
    in the UI, so no secrets. The next run after a reload of the code location has them."""
    group: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] | None = None
    """Feeds of one group share a run, and its process: for small feeds. All their `run_tags` are the same. A reload of
    the code location takes a change over."""

    # These messages say what is expected and never quote the value: a key may have been pasted into the wrong field.

    @field_validator("name")
    @classmethod
    def _not_by_hand(cls, value: str) -> str:
        if value == MANUAL:
            raise ValueError("is the feed of rows that are inserted by hand: choose another name")
        return value

    @field_validator("provider")
    @classmethod
    def _known_provider(cls, value: str) -> str:
        find_connector(value)
        return value

    @field_validator("options")
    @classmethod
    def _usable_options(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        # A channel that is listed twice would be subscribed to twice.
        value = {name: each_once(option) for name, option in value.items()}
        provider = info.data.get("provider")
        if provider is not None:
            try:
                find_connector(provider).Options.model_validate(value)
            except ValidationError as error:
                problems = explain(error, find_connector(provider).Options)
                lines = [f"{_dotted(place)}: {message}" if place else message for place, message in problems]
                raise ValueError("; ".join(lines)) from None
        return value

    @field_validator("true_up", mode="before")
    @classmethod
    def _yaml_off(cls, value: Any) -> Any:
        # YAML reads `off` as a boolean.
        return "off" if value is False else value

    @field_validator("endpoint")
    @classmethod
    def _usable_endpoint(cls, value: str) -> str:
        check_endpoint(value)
        return value

    @field_validator("api_key_env")
    @classmethod
    def _name_of_a_variable(cls, value: str | None) -> str | None:
        # Upper case only: the key itself gets pasted here by mistake, and keys contain lower-case letters.
        if value is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
            raise ValueError(
                "must be the name of an environment variable (A-Z, 0-9, _) that holds the key, not the key"
            )
        know_variable(value)
        return value

    @field_validator("symbols", mode="before")
    @classmethod
    def _plain_symbols(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if any(isinstance(body, dict) and "symbol" in body for body in value.values()):
                raise ValueError("must not name a symbol twice; it is the key above its settings")
            value = [
                {"symbol": symbol, **(body if isinstance(body, dict) else {"name": body})}
                for symbol, body in value.items()
            ]
        elif isinstance(value, list | tuple):
            value = [item if isinstance(item, dict | SymbolSettings) else {"symbol": item} for item in value]
        else:
            raise ValueError("must be a list of symbols, or a mapping of symbols to names or settings")  # noqa: TRY004
        if not value:
            raise ValueError("must have at least one symbol")
        if any(isinstance(item, dict) and isinstance(item.get("symbol"), bool | int | float) for item in value):
            # YAML reads ON and NO as booleans, and 0700 as the octal number 448.
            raise ValueError("must quote symbols that look like a number or a boolean, such as 'ON' or '0700'")
        return value

    @field_validator("symbols")
    @classmethod
    def _each_name_once(cls, value: tuple[SymbolSettings, ...], info: ValidationInfo) -> tuple[SymbolSettings, ...]:
        if "name" in info.data:
            check_storable(info.data["name"], value)
        if {"provider", "options"} <= info.data.keys():
            connector = find_connector(info.data["provider"])
            check_names(connector(url=None, api_key=None, options=info.data["options"]), value)
        return value

    @field_validator("repair")
    @classmethod
    def _trades_of_the_past(cls, value: RepairSettings, info: ValidationInfo) -> RepairSettings:
        if value.past_hours and {"provider", "options"} <= info.data.keys():
            provider = info.data["provider"]
            connector = find_connector(provider)(url=None, api_key=None, options=info.data["options"])
            check_past(provider, connector.history())
        return value

    @property
    def run(self) -> str:
        """The name of its run: that of its group, or its own."""
        return self.group or self.name

    @property
    def synthetic(self) -> bool:
        """Whether this feed's prices are made up, by the stand-in or another server."""
        return self.endpoint == STAND_IN or self.synthetic_endpoint

    @property
    def overlaps(self) -> bool:
        """Whether a run that replaces another one connects before that one disconnects."""
        if self.overlap is not None:
            return self.overlap
        return self.synthetic or find_connector(self.provider).spare_connections

    @property
    def follows_reloads(self) -> bool:
        """Whether a reload of the code location replaces the run."""
        return self.overlaps if self.hand_over_on_reload is None else self.hand_over_on_reload

    @property
    def tolerance(self) -> float:
        """`bar_tolerance`, or what the provider's bars of this feed let expect."""
        return self.keyless_connector().bar_tolerance if self.bar_tolerance is None else self.bar_tolerance

    def only_symbols_differ(self, other: FeedSettings) -> bool:
        """Whether a running ingestion can change to the other settings: only their symbols differ."""
        # These do not concern the ingestion.
        changeable = ("symbols", "repair", "true_up", "bar_tolerance", "run_tags", "group")
        return self.model_copy(update={name: getattr(other, name) for name in changeable}) == other

    def symbol_names(self) -> tuple[str, ...]:
        """The symbols as feeds.yaml spells them."""
        return tuple(item.symbol for item in self.symbols)

    def calendars(self) -> dict[str, Calendar]:
        """The calendar of each symbol's market, by the name that its ticks carry: when silence is suspicious."""
        connector = self.keyless_connector()
        return {
            connector.symbol_of(item.symbol): calendar(
                item.calendar
                or self.calendar
                or (ALWAYS if self.synthetic or item.asset_class == "crypto" else connector.calendar(item.symbol))
            )
            for item in self.symbols
        }

    def sending_calendars(self) -> dict[str, Calendar]:
        """When the provider sends each symbol, by the name that its ticks carry: when data can be missing."""
        connector, calendars = self.keyless_connector(), self.calendars()
        found = {}
        for item in self.symbols:
            name = connector.symbol_of(item.symbol)
            market, hours = calendars[name].name, item.hours or self.hours
            if hours is None:
                # The connector speaks of its own calendar's market.
                its_market = is_same_market(market, connector.calendar(item.symbol))
                hours = connector.hours(item.symbol) if its_market else REGULAR
            found[name] = calendar(with_hours(market, hours))
        return found

    def decoder(self) -> Callable[[bytes], list[Event]]:
        """The function that decodes this feed's frames; needs neither key nor network."""
        return self.keyless_connector().decode

    def history(self, *, stand_in_url: str | None = None) -> History | None:
        """The provider's API for past data; None if it has none.

        Raises SettingsError as `connector` does.
        """
        return self.connector(stand_in_url=stand_in_url).history()

    def asked_symbols(self) -> dict[str, str]:
        """Each symbol as feeds.yaml spells it, by the name that its ticks carry."""
        connector = self.keyless_connector()
        return {connector.symbol_of(item.symbol): item.symbol for item in self.symbols}

    def keyless_connector(self) -> Connector:
        """A connector that decodes, and knows symbols; it cannot connect to where a key is needed."""
        return self._connector(url=None, api_key=None)

    def _connector(self, *, url: str | None, api_key: str | None) -> Connector:
        connector = find_connector(self.provider)(url=url, api_key=api_key, options=self.options)
        connector.use_symbols(asked(self.symbols))
        return connector

    def connector(self, *, stand_in_url: str | None = None) -> Connector:
        """The connector of this feed's provider.

        `stand_in_url` is the stand-in's address; it is required if the endpoint is the stand-in, and ignored otherwise.
        Raises SettingsError when the endpoint needs an API key and the environment does not have it.
        """
        connector = find_connector(self.provider)
        if self.endpoint == STAND_IN:
            if stand_in_url is None:
                raise SettingsError(f"feed '{self.name}': its endpoint is the stand-in, which has not been started")
            return self._connector(url=stand_in_url, api_key="stand-in")
        key = env_file.current(self.api_key_env) if self.api_key_env else ""
        if connector.requires_key and not key:
            remedy = (
                f"put {self.api_key_env}=… into {env_file.path()}, which is read again at once, or set the environment "
                "variable of that name and restart Dagster"
                if self.api_key_env
                else "name the environment variable that holds it in `api_key_env` in feeds.yaml"
            )
            raise SettingsError(
                f"feed '{self.name}' has a live endpoint and no API key: {remedy}, or set `endpoint: {STAND_IN}` in "
                "feeds.yaml for synthetic ticks"
            )
        url = None if self.endpoint == "live" else self.endpoint
        return self._connector(url=url, api_key=key or None)


class PlatformSettings(Section):
    """The content of feeds.yaml."""

    feeds: tuple[FeedSettings, ...]
    stand_in: StandInSettings = StandInSettings()

    @field_validator("feeds", mode="before")
    @classmethod
    def _named_feeds(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if not all(isinstance(body, dict) and "name" not in body for body in value.values()):
                raise ValueError("each feed must be a mapping of settings; its name is the key above them")
            value = [{**body, "name": name} for name, body in value.items()]
        elif not isinstance(value, list | tuple):
            raise ValueError("must be a mapping of feed names to settings")  # noqa: TRY004
        if not value:
            raise ValueError("must have at least one feed")
        return value

    @field_validator("feeds")
    @classmethod
    def _no_name_twice(cls, value: tuple[FeedSettings, ...]) -> tuple[FeedSettings, ...]:
        if len({feed.name for feed in value}) < len(value):
            raise ValueError("must not give two feeds the same name")
        check_groups(value)
        check_streams({feed.name: feed.journal.copy_to for feed in value})
        return value

    def feed(self, name: str) -> FeedSettings:
        """The feed of that name. Raises SettingsError when there is none."""
        for feed in self.feeds:
            if feed.name == name:
                return feed
        raise SettingsError(
            f"no feed '{name}' in feeds.yaml; its feeds are: {', '.join(feed.name for feed in self.feeds)}"
        )


def load_settings(path: Path) -> PlatformSettings:
    """Read and validate feeds.yaml. Raises SettingsError, which names the file and each invalid setting.

    Two feeds that would make the same candles are refused, with a warning instead if both have run on this machine
    before version 0.2.0. So are two feeds that say different things of one symbol.
    """
    content = section(read_settings(path), "feeds", "stand_in")
    try:
        settings = PlatformSettings.model_validate(content)
    except ValidationError as error:
        lines = [
            f"  {_dotted(_by_name(place, content))}: {message}" for place, message in explain(error, PlatformSettings)
        ]
        raise SettingsError(f"{path} has invalid settings:\n" + "\n".join(lines)) from None
    pairs: list[Shared | Contradiction] = [*shared(settings.feeds), *contradictions(settings.feeds)]
    for pair in pairs:
        if not pair.both_ran_before:
            raise SettingsError(f"{path}: {pair}. {pair.remedy}")
        _warn_once(
            f"{path}: {pair}. They ran before version 0.2.0, so this is a warning; the next release refuses it. "
            f"{pair.remedy}"
        )
    return settings


@functools.lru_cache
def _warn_once(message: str) -> None:
    # A run reads the file every few seconds.
    logger.warning(message)


def _by_name(place: tuple[int | str, ...], content: Any) -> tuple[int | str, ...]:
    """The place of a setting with names of feeds and symbols, of which pydantic knows only the position."""
    named: list[int | str] = []
    for part in place:
        key = list(content)[part] if isinstance(content, dict) and isinstance(part, int) else part
        named.append(part if key == part else str(key))
        try:
            content = content[key]
        except (LookupError, TypeError):
            content = None
    return tuple(named)


def _dotted(place: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in place) or "(top level)"
