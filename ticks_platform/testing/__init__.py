"""What a connector's author tests it with: frames in, events out; life against faults; history against gaps.

`ConnectorKit` is the whole campaign, told in ten lines what the provider says. Its parts are here too: servers on
loopback that do what a test says, and `store_frames`, which puts recorded frames into a database. Failures are
AssertionErrors, so that any test framework shows them; none is imported. See docs/start/connector.md.
"""

from ticks_platform.testing.frames import damaged, events
from ticks_platform.testing.kit import Case, ConnectorKit
from ticks_platform.testing.live import LiveServer, Stream, wait_until
from ticks_platform.testing.market import MinuteBar, Trade, minute_bars, trades
from ticks_platform.testing.past import PastServer, fetch
from ticks_platform.testing.stored import StoredFrames, store_frames

__all__ = [
    "Case",
    "ConnectorKit",
    "LiveServer",
    "MinuteBar",
    "PastServer",
    "StoredFrames",
    "Stream",
    "Trade",
    "damaged",
    "events",
    "fetch",
    "minute_bars",
    "store_frames",
    "trades",
    "wait_until",
]
