"""How well a stand-in holds its rate."""

from __future__ import annotations

import time
from typing import Any

from ticks_standin import StandInProcess


def share_of_rate(stand_in: StandInProcess, client: Any, rate: int) -> float:
    """What it sends in a second, read by this client as fast as it comes, as a share of the rate in events a second."""
    start, before = time.monotonic(), stand_in.account().price_events
    while time.monotonic() - start < 1.0:
        client.socket.sock.recv(1 << 20)
    sent = stand_in.account().price_events - before
    return sent / (rate * (time.monotonic() - start))
