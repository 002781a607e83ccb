"""Polygon's connector, speaking to the benchmark's own server, which knows neither keys nor acknowledgements."""

from __future__ import annotations

from collections.abc import Sequence

from ticks_platform.feeds.polygon.connector import PolygonConnector, PolygonConversation


class _Conversation(PolygonConversation):
    authenticates = False

    def opening(self) -> Sequence[str]:
        return ()


class PolygonLikeConnector(PolygonConnector):
    """Decodes as Polygon's connector does; asks for no leave."""

    def converse(self) -> PolygonConversation:
        return _Conversation("")
