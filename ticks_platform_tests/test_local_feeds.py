"""The stand-in of a feed: one that was killed is started again, and the feed's connection finds it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ticks_platform import local_feeds
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.feeds.transport.state import State
from ticks_platform_tests.support.feeds import Running
from ticks_standin import daemon


@pytest.mark.full
def test_a_killed_stand_in_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path))
    settings = PlatformSettings.model_validate(
        {"feeds": {"made_up": {"provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL"]}}}
    )
    (feed,) = settings.feeds
    file = local_feeds.stand_in_file(feed.name)
    try:
        connector = local_feeds.connector(settings, feed)
        first = daemon.find(file)
        assert first is not None
        with Running(connector, symbols=["AAPL"]) as running:
            running.wait_for(State.STREAMING)
            os.kill(first.pid, signal.SIGKILL)
            running.wait_for(State.BACKING_OFF)
            running.wait_for(State.STREAMING, times=2)
        second = daemon.find(file)
        assert second is not None
        assert second.pid != first.pid
    finally:
        daemon.stop(file)
