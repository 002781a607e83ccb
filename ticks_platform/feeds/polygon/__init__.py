"""Polygon.io (Massive): `connector` is the WebSocket protocol, `events` decodes frames, `history` is the REST API.

Not here: what other providers share (the folder above), and I/O (`transport`).
"""

from ticks_platform.feeds.polygon.connector import PolygonConnector

__all__ = ["PolygonConnector"]
