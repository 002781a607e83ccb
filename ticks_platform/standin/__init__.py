"""The stand-in feed server: a local server that speaks the feed providers' protocols, with made-up prices.

It is the default feed while developing, and what the tests attack. Nothing that it sends is a market's.
"""

from ticks_platform.standin.account import (
    Account,
    ConnectionAccount,
    MadeEvent,
    MadeEvents,
    RestRequest,
    Undelivered,
    fetched_twice,
)
from ticks_platform.standin.commands import RawFrame, StandInError
from ticks_platform.standin.lasting import LastingStandIn
from ticks_platform.standin.misbehaviour import MalformedKind, Misbehaviour
from ticks_platform.standin.process import StandInProcess
from ticks_platform.standin.settings import StandInSettings
from ticks_platform.standin.threaded import StandIn

__all__ = [
    "Account",
    "ConnectionAccount",
    "LastingStandIn",
    "MadeEvent",
    "MadeEvents",
    "MalformedKind",
    "Misbehaviour",
    "RawFrame",
    "RestRequest",
    "StandIn",
    "StandInError",
    "StandInProcess",
    "StandInSettings",
    "Undelivered",
    "fetched_twice",
]
