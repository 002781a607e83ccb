"""The stand-in feed server: a local server that speaks the feed providers' protocols, with made-up prices.

It is the default feed while developing, and what the tests attack. Nothing that it sends is market data.

Here are the ways to run one (``in_process``, ``process``, ``daemon``, ``__main__``), its commands and its settings.
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
from ticks_standin.daemon import StandInDaemon
from ticks_standin.errors import StandInError
from ticks_standin.in_process import StandIn
from ticks_standin.market.actions import Dividend, Split
from ticks_standin.past_day import PastDay, TakenBack
from ticks_standin.process import StandInProcess
from ticks_standin.server.connections import Moment
from ticks_standin.server.faults import MalformedKind, StreamFaults
from ticks_standin.server.feed_server import Silence
from ticks_standin.server.framing import RawFrame
from ticks_standin.settings import StandInSettings

__all__ = [
    "Account",
    "ConnectionAccount",
    "Dividend",
    "MadeEvent",
    "MadeEvents",
    "MalformedKind",
    "Moment",
    "PastDay",
    "RawFrame",
    "RestRequest",
    "Silence",
    "Split",
    "StandIn",
    "StandInDaemon",
    "StandInError",
    "StandInProcess",
    "StandInSettings",
    "StreamFaults",
    "TakenBack",
    "Undelivered",
    "fetched_twice",
]
