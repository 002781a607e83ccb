"""The stand-in feed server: a local server that speaks the feed providers' protocols, with made-up prices.

It is the default feed while developing, and what the tests attack. Nothing that it sends is a market's.
"""

from ticks_standin.account import (
    Account,
    ConnectionAccount,
    MadeEvent,
    MadeEvents,
    RestRequest,
    Undelivered,
    fetched_twice,
)
from ticks_standin.commands import RawFrame, StandInError
from ticks_standin.daemon import LastingStandIn
from ticks_standin.faults import MalformedKind, Misbehaviour
from ticks_standin.in_process import StandIn
from ticks_standin.process import StandInProcess
from ticks_standin.settings import StandInSettings

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
