"""Polygon's connector for the benchmark's server, which has no authentication and sends no acknowledgements."""

from __future__ import annotations

from collections.abc import Sequence

from ticks_platform.feeds.polygon.connector import PolygonConnector, PolygonConversation


class _Conversation(PolygonConversation):
    authenticates = False

    def opening(self) -> Sequence[str]:
        return ()


class PolygonLikeConnector(PolygonConnector):
    """Decodes like Polygon's connector, without authentication."""

    def converse(self) -> PolygonConversation:
        return _Conversation("")
