"""The protocol of Polygon.io (Massive): `connector` speaks it, `events` decodes frames, `history` asks the REST API.

What holds for other providers too belongs in the folder above, and what connects and waits in `transport`.
"""

from ticks_platform.feeds.polygon.connector import PolygonConnector

__all__ = ["PolygonConnector"]
