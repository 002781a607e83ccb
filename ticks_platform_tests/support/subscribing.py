"""A subscriber that records its changes, and feeds to subscribe to."""

from __future__ import annotations

from typing import Any

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.subscribing import Change
from ticks_platform_tests.support.feeds import wait_until


class Recorder:
    """An `on_change` that keeps every change, in order."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def __call__(self, change: Change) -> None:
        self.changes.append(change)

    def wait_for(self, count: int, timeout: float = 60.0) -> list[Change]:
        """Wait for this many changes; fail if there are more."""
        wait_until(lambda: len(self.changes) >= count, f"{count} changes; got {len(self.changes)}", timeout)
        assert len(self.changes) == count
        return self.changes


def feed(url: str, provider: str = "twelve_data", **settings: Any) -> FeedSettings:
    """A feed at this URL."""
    usual = {"name": "test", "api_key_env": "TEST_KEY", "synthetic_endpoint": True, "symbols": ["AAPL", "BTC/USD"]}
    return FeedSettings.model_validate({**usual, "provider": provider, "endpoint": url, **settings})
