"""``feeds.yaml``: which feeds there are. Secrets are named here, and read from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.twelve_data import URL as TWELVE_DATA_URL
from ticks_platform.feeds.twelve_data import TwelveDataConnector

STAND_IN = "stand-in"
"""The endpoint that means the local, synthetic feed server."""

_CONNECTORS: dict[str, tuple[type[Connector], str]] = {"twelve_data": (TwelveDataConnector, TWELVE_DATA_URL)}


class SettingsError(Exception):
    """feeds.yaml or the environment has to be changed; the message says where and how."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StandInSettings(_Section):
    """How the local feed server behaves."""

    rate: Annotated[float, Field(gt=0, le=1_000_000)] = 20.0
    """Ticks a second, over all symbols."""
    seed: int = 7


class SymbolSettings(_Section):
    """A symbol as the provider names it, and the name that people know it by."""

    symbol: Annotated[str, Field(min_length=1, pattern=r"^[^\s,]+$")]
    name: str | None = None


class FeedSettings(_Section):
    """One configured upstream."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    provider: str
    endpoint: str = "live"
    """``live`` for the provider's own, ``stand-in`` for the local synthetic one, or a ws:// or wss:// URL."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the API key."""
    symbols: Annotated[tuple[SymbolSettings, ...], Field(min_length=1)]
    stale_after_seconds: Annotated[float, Field(gt=0)] = 60.0
    """With no tick for this long, the check «ticks are fresh» warns."""

    @field_validator("provider")
    @classmethod
    def _known_provider(cls, value: str) -> str:
        if value not in _CONNECTORS:
            raise ValueError(f"no connector for provider {value!r}; there are: {', '.join(sorted(_CONNECTORS))}")
        return value

    @field_validator("endpoint")
    @classmethod
    def _usable_endpoint(cls, value: str) -> str:
        if value not in ("live", STAND_IN) and not value.startswith(("ws://", "wss://")):
            raise ValueError(f"must be 'live', '{STAND_IN}', or a URL that begins with ws:// or wss://, not {value!r}")
        if "apikey" in value.lower():
            raise ValueError("must not carry the API key: name its environment variable in api_key_env")
        return value

    @field_validator("symbols", mode="before")
    @classmethod
    def _plain_symbols(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return [{"symbol": symbol, "name": name} for symbol, name in value.items()]
        if isinstance(value, list):
            return [{"symbol": item} if isinstance(item, str) else item for item in value]
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
        """Whether this feed's prices are made up by the stand-in."""
        return self.endpoint == STAND_IN

    def connector(self, *, stand_in_url: str | None = None) -> Connector:
        """The connector that speaks to this feed's provider.

        `stand_in_url` is where the stand-in listens; it is needed when the endpoint is the stand-in, and ignored else.
        Raises SettingsError when the endpoint needs an API key and the environment does not have it.
        """
        connector, live_url = _CONNECTORS[self.provider]
        symbols = [item.symbol for item in self.symbols]
        if self.synthetic:
            if stand_in_url is None:
                raise SettingsError(f"feed '{self.name}': its endpoint is the stand-in, which has not been started")
            return connector(url=stand_in_url, api_key="stand-in", symbols=symbols)
        key = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""
        if connector.requires_key and not key:
            variable = self.api_key_env or "(api_key_env is not set in feeds.yaml)"
            raise SettingsError(
                f"feed '{self.name}' has a live endpoint and no API key: set the environment variable {variable} and "
                f"restart `dagster dev`, or set `endpoint: {STAND_IN}` in feeds.yaml for synthetic ticks"
            )
        url = live_url if self.endpoint == "live" else self.endpoint
        return connector(url=url, api_key=key or None, symbols=symbols)


class PlatformSettings(_Section):
    """The whole of feeds.yaml."""

    feeds: Annotated[tuple[FeedSettings, ...], Field(min_length=1)]
    stand_in: StandInSettings = StandInSettings()

    @field_validator("feeds", mode="before")
    @classmethod
    def _named_feeds(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return [{"name": name, **(body or {})} for name, body in value.items()]
        return value

    def feed(self, name: str) -> FeedSettings:
        """The feed of that name. Raises SettingsError when there is none."""
        for feed in self.feeds:
            if feed.name == name:
                return feed
        raise SettingsError(f"no feed '{name}' in feeds.yaml; there are: {', '.join(feed.name for feed in self.feeds)}")


def load_settings(path: Path) -> PlatformSettings:
    """Read and check feeds.yaml. Raises SettingsError, naming the file and each field that is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from error
    try:
        return PlatformSettings.model_validate(content)
    except ValidationError as error:
        # `include_input=False`: a key that was pasted into the wrong field must not be repeated in a log.
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']) or '(top level)'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError(f"{path} has settings that cannot be used:\n" + "\n".join(lines)) from None
