"""The knobs of the stand-in feed server."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

BadKeyMode = Literal["401", "200+body", "403", "400"]
StatusStyle = Literal["live", "documented"]


class StandInSettings(BaseModel):
    """What the stand-in serves and how it misbehaves. Immutable; an unknown or impossible setting is an error.

    Raises:
        pydantic.ValidationError: naming the setting at fault, on construction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="address to listen on; loopback only")
    port: int = Field(default=0, ge=0, le=65535, description="TCP port; 0 lets the system choose a free one")
    seed: int = Field(default=7, description="seed of the market: the same seed gives the same prices")
    rate: float = Field(
        default=20.0, ge=0, description="ticks per second over all subscribed symbols; 0 sends ticks on command only"
    )
    accept_any_symbol: bool = Field(default=False, description="make up a stock for each symbol that is not listed")
    keys: frozenset[str] = Field(
        default=frozenset(),
        description="accepted API keys besides 'demo'; none means that any key that is not empty will do",
    )
    bad_key_mode: BadKeyMode = Field(default="401", description="how a wrong or missing key is refused")
    unauthorized_mics: frozenset[str] = Field(
        default=frozenset({"XHKG"}), description="markets that the key may not see: their symbols fail with a message"
    )
    fails_null: bool = Field(
        default=True, description="empty success and fails lists are null, as seen live, and not []"
    )
    status_style: StatusStyle = Field(
        default="live", description="items of subscribe-status as seen live, or as documented"
    )
    max_connections: int = Field(default=3, ge=1, description="connections per key; one more drops the oldest")
    idle_timeout_s: float = Field(
        default=300.0, gt=0, description="seconds without a message of the client until its connection is dropped"
    )
    events_per_minute: int = Field(
        default=100, ge=1, description="messages a client may send per minute on one connection"
    )
    max_message_bytes: int = Field(
        default=1_000_000, ge=1, description="largest message accepted from a client, in bytes"
    )
    slow_consumer_bytes: int = Field(
        default=64 * 2**20, ge=1, description="bytes a client may leave unread until its connection is dropped"
    )
    record: bool = Field(default=False, description="keep every frame sent, in order, in the account")

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        # The name would be two addresses, and with port 0 two ports.
        address = "127.0.0.1" if host == "localhost" else host
        try:
            loopback = ipaddress.ip_address(address).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(f"the stand-in listens on loopback only, and {host!r} is not a loopback address")
        return address
