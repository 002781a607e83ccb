"""``feeds.yaml``: which feeds there are. Secrets are named here, and read from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from ticks_platform.feeds.calendars import ALWAYS, Calendar, calendar
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Event
from ticks_platform.feeds.history import History
from ticks_platform.feeds.registry import find_connector
from ticks_platform.settings_file import SettingsError as SettingsError
from ticks_platform.settings_file import read_settings

STAND_IN = "stand-in"
"""The endpoint that means the local, synthetic feed server."""

_SECRET_IN_URL = re.compile(r"api[_-]?key|token=", re.IGNORECASE)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StandInSettings(_Section):
    """How the local feed server behaves."""

    rate: Annotated[float, Field(gt=0, le=1_000_000)] = 20.0
    """Ticks a second, over all symbols."""
    seed: int = 7
    accept_any_symbol: bool = False
    """Whether it makes up a stock for each symbol that it does not list."""


class JournalSettings(_Section):
    """The local log that keeps frames until they are committed."""

    max_megabytes: Annotated[int, Field(gt=0)] = 2048
    """What may wait in it; when it is full, reading stops until the database takes some of it."""
    sync_milliseconds: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    """What a power cut may cost; a crash of the process costs nothing."""


class RepairSettings(_Section):
    """How gaps are repaired out of the provider's history; what is left out is as in the provider's smallest plan."""

    enabled: bool = True
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Requests in any minute, of all feeds that have the same provider and key."""
    requests_per_day: Annotated[int, Field(ge=1)] | None = None
    """Requests in any 24 hours; with Twelve Data each one costs a credit."""
    delay_seconds: Annotated[float, Field(ge=0)] | None = None
    """Age from which on the provider has an event; what is younger is asked for later."""
    give_up_after_days: Annotated[float, Field(gt=0)] | None = None
    """Age from which on a gap counts as unrepairable."""


class SymbolSettings(_Section):
    """A symbol as the provider names it, and the name that people know it by."""

    symbol: Annotated[str, Field(min_length=1, pattern=r"^[^\s,]+$")]
    name: str | None = None
    calendar: str | None = None
    """The calendar by which its silence is judged, where it is not the feed's."""

    @field_validator("calendar")
    @classmethod
    def _known_calendar(cls, value: str | None) -> str | None:
        return None if value is None else calendar(value).name


class FeedSettings(_Section):
    """One configured upstream."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    provider: str
    """``twelve_data``, ``polygon``, a name that a package has registered, or the dotted name of a connector's class."""
    endpoint: str = "live"
    """``live`` for the provider's own, ``stand-in`` for the local synthetic one, or a ws:// or wss:// URL."""
    synthetic_endpoint: bool = False
    """Set where `endpoint` is the URL of something that makes prices up."""
    options: dict[str, Any] = {}
    """What else the provider's connector wants to know, such as Polygon's market and channels."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the API key."""
    symbols: tuple[SymbolSettings, ...]
    calendar: str | None = None
    """``always``, ``24/5`` or an exchange's MIC such as XNYS: when silence means something. The connector knows a usual
    one."""
    symbols_per_connection: Annotated[int, Field(ge=1)] | None = None
    """Symbols that one connection may carry; more are spread over several at once. No limit by default."""
    overlap: bool | None = None
    """Whether the old run and the new one may both be connected for some seconds when one replaces the other, so that
    nothing is missed between them. By default where the provider lets everybody have more than one connection."""
    hand_over_on_reload: bool | None = None
    """Whether a run is replaced when the code location is reloaded, so that it runs on the new code. By default where
    that costs nothing, which is where runs overlap."""
    stale_after_seconds: Annotated[float, Field(gt=0)] = 60.0
    """With no tick for this long while its market is open, the feed counts as stalled, and the check «ticks are fresh»
    fails."""
    journal: JournalSettings = JournalSettings()
    repair: RepairSettings = RepairSettings()
    bar_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """By what part our candles may differ from the provider's bars of the same minute, before a check says so."""
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Port on loopback at which Prometheus reads this feed's metrics while it is ingested; none by default."""

    # These say what is wanted and not what was found: it may be a key that was pasted into the wrong field.

    @field_validator("provider")
    @classmethod
    def _known_provider(cls, value: str) -> str:
        find_connector(value)
        return value

    @field_validator("options")
    @classmethod
    def _usable_options(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        provider = info.data.get("provider")
        if provider is not None:
            try:
                find_connector(provider).Options.model_validate(value)
            except ValidationError as error:
                raise ValueError("; ".join(_plainly(item) for item in error.errors(include_input=False))) from None
        return value

    @field_validator("calendar")
    @classmethod
    def _known_calendar(cls, value: str | None) -> str | None:
        return None if value is None else calendar(value).name

    @field_validator("endpoint")
    @classmethod
    def _usable_endpoint(cls, value: str) -> str:
        if value in ("live", STAND_IN):
            return value
        if not value.startswith(("ws://", "wss://")):
            raise ValueError(f"must be 'live', '{STAND_IN}', or a URL that begins with ws:// or wss://")
        if "@" in value or _SECRET_IN_URL.search(value):
            raise ValueError("must not carry a secret: name the API key's environment variable in api_key_env")
        if not _has_host_and_port(value):
            raise ValueError("is a URL without a usable host and port")
        return value

    @field_validator("api_key_env")
    @classmethod
    def _name_of_a_variable(cls, value: str | None) -> str | None:
        # Upper-case only, since this is where the key itself gets pasted, and keys have lower-case letters.
        if value is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
            raise ValueError(
                "must be the name of an environment variable (A-Z, 0-9, _) that holds the key, not the key"
            )
        return value

    @field_validator("symbols", mode="before")
    @classmethod
    def _plain_symbols(cls, value: Any) -> Any:
        if isinstance(value, dict):
            value = [{"symbol": symbol, "name": name} for symbol, name in value.items()]
        elif isinstance(value, list | tuple):
            value = [item if isinstance(item, dict | SymbolSettings) else {"symbol": item} for item in value]
        else:
            raise ValueError("has to be a list of symbols, or a mapping of symbols to names")  # noqa: TRY004
        if not value:
            raise ValueError("there has to be at least one")
        if any(isinstance(item, dict) and isinstance(item.get("symbol"), bool | int | float) for item in value):
            # YAML reads ON and NO as booleans, and 0700 as the octal number 448.
            raise ValueError("symbols that look like a number or a boolean have to be quoted, as in 'ON' or '0700'")
        return value

    @field_validator("symbols")
    @classmethod
    def _no_symbol_twice(cls, value: tuple[SymbolSettings, ...]) -> tuple[SymbolSettings, ...]:
        seen: set[str] = set()
        twice = {item.symbol for item in value if item.symbol in seen or seen.add(item.symbol)}  # type: ignore[func-returns-value]
        if twice:
            raise ValueError(f"listed twice: {', '.join(sorted(twice))}")
        return value

    @property
    def synthetic(self) -> bool:
        """Whether this feed's prices are made up, by the stand-in or something like it."""
        return self.endpoint == STAND_IN or self.synthetic_endpoint

    @property
    def overlaps(self) -> bool:
        """Whether a run that replaces another one connects before that has ended."""
        if self.overlap is not None:
            return self.overlap
        return self.synthetic or find_connector(self.provider).spare_connections

    @property
    def follows_reloads(self) -> bool:
        """Whether a reload of the code location replaces its run."""
        return self.overlaps if self.hand_over_on_reload is None else self.hand_over_on_reload

    def only_symbols_differ(self, other: FeedSettings) -> bool:
        """Whether a running ingestion can go on with the other settings: their symbols are all that is different."""
        # How gaps are repaired, and candles judged, is not the ingestion's business.
        return (
            self.model_copy(
                update={"symbols": other.symbols, "repair": other.repair, "bar_tolerance": other.bar_tolerance}
            )
            == other
        )

    def symbol_names(self) -> tuple[str, ...]:
        """The symbols, as the provider is asked for them."""
        return tuple(item.symbol for item in self.symbols)

    def calendars(self) -> dict[str, Calendar]:
        """The calendar of each symbol, by the name that its ticks have."""
        connector = self._keyless()
        return {
            connector.symbol_of(item.symbol): calendar(
                item.calendar or self.calendar or (ALWAYS if self.synthetic else connector.calendar(item.symbol))
            )
            for item in self.symbols
        }

    def decoder(self) -> Callable[[bytes], list[Event]]:
        """What decodes this feed's frames; needs neither a key nor a network."""
        return self._keyless().decode

    def history(self, *, stand_in_url: str | None = None) -> History | None:
        """What can be asked of the provider about the past; None where nothing can.

        Raises SettingsError as `connector` does.
        """
        return self.connector(stand_in_url=stand_in_url).history()

    def asked_symbols(self) -> dict[str, str]:
        """The symbols as the ticks call them, and what the provider is asked for."""
        connector = self._keyless()
        return {connector.symbol_of(item.symbol): item.symbol for item in self.symbols}

    def _keyless(self) -> Connector:
        return find_connector(self.provider)(url=None, api_key=None, options=self.options)

    def connector(self, *, stand_in_url: str | None = None) -> Connector:
        """The connector that speaks to this feed's provider.

        `stand_in_url` is where the stand-in listens; it is needed when the endpoint is the stand-in, and ignored else.
        Raises SettingsError when the endpoint needs an API key and the environment does not have it.
        """
        connector = find_connector(self.provider)
        if self.endpoint == STAND_IN:
            if stand_in_url is None:
                raise SettingsError(f"feed '{self.name}': its endpoint is the stand-in, which has not been started")
            return connector(url=stand_in_url, api_key="stand-in", options=self.options)
        key = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""
        if connector.requires_key and not key:
            remedy = (
                f"set the environment variable {self.api_key_env} and restart `dagster dev`"
                if self.api_key_env
                else "name the environment variable that holds it in `api_key_env` in feeds.yaml"
            )
            raise SettingsError(
                f"feed '{self.name}' has a live endpoint and no API key: {remedy}, or set `endpoint: {STAND_IN}` in "
                "feeds.yaml for synthetic ticks"
            )
        url = None if self.endpoint == "live" else self.endpoint
        return connector(url=url, api_key=key or None, options=self.options)


class PlatformSettings(_Section):
    """The whole of feeds.yaml."""

    feeds: tuple[FeedSettings, ...]
    stand_in: StandInSettings = StandInSettings()

    @field_validator("feeds", mode="before")
    @classmethod
    def _named_feeds(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if not all(isinstance(body, dict) and "name" not in body for body in value.values()):
                raise ValueError("each feed has to be a mapping of its settings; its name is the key above them")
            value = [{**body, "name": name} for name, body in value.items()]
        elif not isinstance(value, list | tuple):
            raise ValueError("has to be a mapping of feeds' names to their settings")  # noqa: TRY004
        if not value:
            raise ValueError("there has to be at least one")
        return value

    @field_validator("feeds")
    @classmethod
    def _no_name_twice(cls, value: tuple[FeedSettings, ...]) -> tuple[FeedSettings, ...]:
        names = [feed.name for feed in value]
        if len(set(names)) < len(names):
            raise ValueError("two feeds have the same name")
        return value

    def feed(self, name: str) -> FeedSettings:
        """The feed of that name. Raises SettingsError when there is none."""
        for feed in self.feeds:
            if feed.name == name:
                return feed
        raise SettingsError(f"no feed '{name}' in feeds.yaml; there are: {', '.join(feed.name for feed in self.feeds)}")


def load_settings(path: Path) -> PlatformSettings:
    """Read and check feeds.yaml. Raises SettingsError, naming the file and each field that is wrong."""
    content = read_settings(path)
    try:
        return PlatformSettings.model_validate(content)
    except ValidationError as error:
        lines = [
            f"  {_place(item['loc'], content)}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError(f"{path} has settings that cannot be used:\n" + "\n".join(lines)) from None


def _plainly(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    return f"{place}: {item['msg']}" if place else str(item["msg"])


def _place(location: tuple[int | str, ...], content: Any) -> str:
    """A field as people find it: a feed by its name, which pydantic only knows by its number."""
    feeds = content.get("feeds") if isinstance(content, dict) else None
    if isinstance(feeds, dict) and len(location) > 1 and location[0] == "feeds" and isinstance(location[1], int):
        location = ("feeds", list(feeds)[location[1]], *location[2:])
    return ".".join(str(part) for part in location) or "(top level)"


def _has_host_and_port(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
