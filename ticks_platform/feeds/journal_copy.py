"""The section ``journal.copy``: where a feed's journal is copied to, so that a machine can be lost with its disk."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ticks_platform.feeds.symbol_settings import Section
from ticks_platform.masking import know_variable

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class TlsSettings(Section):
    """TLS towards the servers. Without it, a URL that begins with ``tls://`` is checked by the system's authorities."""

    ca_file: Path | None = None
    """The authorities that sign the servers' certificates, in PEM; those of the system by default."""
    certificate_file: Path | None = None
    """This machine's certificate, in PEM, if the servers ask for one."""
    key_file: Path | None = None
    """Its key."""

    @model_validator(mode="after")
    def _both(self) -> TlsSettings:
        if (self.certificate_file is None) is not (self.key_file is None):
            raise ValueError("certificate_file and key_file must be given together")
        return self


class JetStreamSettings(Section):
    """A stream of NATS JetStream that has a copy of a feed's journal."""

    servers: Annotated[tuple[str, ...], Field(min_length=1)]
    """URLs of the servers, each ``nats://host:port`` or ``tls://host:port``. Name all of them: where one has lost
    something, another one is read."""
    monitoring: tuple[str, ...] | Literal["unchecked"]
    """URLs of the servers' monitoring, such as ``http://host:8222``, which tell whether they sync each message to the
    disk; ``unchecked`` if somebody else sees to that."""
    stream: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,99}$")] | None = None
    """Name of the stream; ``ticks_`` and the feed's name by default. No other feed may have the same one."""
    max_megabytes: Annotated[int, Field(ge=16)] = 2048
    """Limit of the stream on each server, well below the size of its disk. When it is reached, nothing more is copied
    until frames are committed; the feed continues."""
    replicas: Annotated[int, Field(ge=1, le=5)] = 3
    """Servers that have the stream. Fewer than three are refused, unless `for_tests` is set."""
    for_tests: bool = False
    """Whether one replica is enough. A copy that one machine has is lost with it."""
    user: str | None = None
    password_env: str | None = None
    """Name of the environment variable that holds the user's password."""
    token_env: str | None = None
    """Name of the environment variable that holds a token, where the servers ask for one."""
    tls: TlsSettings | None = None

    @field_validator("servers")
    @classmethod
    def _usable_servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            _check_url(url, ("nats", "tls"))
        if len(set(value)) < len(value):
            raise ValueError("must not name a server twice")
        return value

    @field_validator("monitoring", mode="before")
    @classmethod
    def _usable_monitoring(cls, value: Any) -> Any:
        if value == "unchecked":
            return value
        if not isinstance(value, list | tuple) or not value:
            raise ValueError("must be a list of URLs, or 'unchecked'")
        for url in value:
            _check_url(url, ("http", "https"))
        return tuple(value)

    @field_validator("password_env", "token_env")
    @classmethod
    def _name_of_a_variable(cls, value: str | None) -> str | None:
        if value is not None and not _VARIABLE.fullmatch(value):
            raise ValueError("must be the name of an environment variable (A-Z, 0-9, _) that holds it, not the secret")
        know_variable(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> JetStreamSettings:
        if self.replicas < 3 and not self.for_tests:
            raise ValueError(
                f"replicas must be 3 or 5, not {self.replicas}: with fewer, the copy is lost with one machine. For a "
                "single server of tests, set for_tests: true"
            )
        if self.replicas % 2 == 0:
            raise ValueError(f"replicas must be an odd number, not {self.replicas}: two of four are no majority")
        if (self.user is None) is not (self.password_env is None):
            raise ValueError("user and password_env must be given together")
        if self.user is not None and self.token_env is not None:
            raise ValueError("either user and password_env or token_env is given, not both")
        if importlib.util.find_spec("nats") is None:
            raise ValueError("needs the client of NATS: pip install 'ticks_platform[jetstream]'")
        return self

    def stream_of(self, feed: str) -> str:
        """The name of a feed's stream."""
        return self.stream or f"ticks_{feed}"


class CopySettings(Section):
    """Where a journal is copied to."""

    jetstream: JetStreamSettings


def check_streams(copies: Mapping[str, CopySettings | None]) -> None:
    """Raise ValueError if two of these feeds have one stream: each would shut the other's owner out."""
    seen: dict[str, str] = {}
    for feed, copy in copies.items():
        if copy is None:
            continue
        stream = copy.jetstream.stream_of(feed)
        if stream in seen:
            raise ValueError(
                f"feeds {seen[stream]} and {feed} must not copy their journals to one stream, {stream}: leave out "
                "journal.copy.jetstream.stream, or give them two names"
            )
        seen[stream] = feed


def _check_url(url: Any, schemes: tuple[str, ...]) -> None:
    """Raise ValueError, which does not quote the URL: it may hold a secret."""
    words = " or ".join(f"{scheme}://host:port" for scheme in schemes)
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        is_usable = False
    if not is_usable:
        raise ValueError(f"must be URLs of the form {words}")
    if "@" in url:
        raise ValueError("must not contain a secret: give user and password_env, or token_env")
