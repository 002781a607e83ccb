"""Twelve Data's protocol: `connector` speaks it, `events` decodes its frames, `history` asks its REST API.

What holds for other providers too belongs in the folder above, and what connects and waits in `transport`.
"""

from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector

__all__ = ["TwelveDataConnector"]
