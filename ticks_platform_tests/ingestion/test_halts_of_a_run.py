"""A halt, from the stand-in's socket into the table and into the answer of `why_no_candle`."""

from __future__ import annotations

import time
from pathlib import Path

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_standin import StandIn


def test_a_halt_of_a_run(database: Database, stand_in: StandIn, tmp_path: Path) -> None:
    """No tick of it meanwhile, and it stays covered."""
    feed = FeedSettings.model_validate(
        {
            "name": "tape",
            "provider": "polygon",
            "endpoint": "stand-in",
            "symbols": ["AAPL", "MSFT"],
            "calendar": "always",
            "options": {"channels": ["T", "LULD"]},
        }
    )
    connector = feed.connector(stand_in_url=stand_in.url("polygon"))
    path = tmp_path / "stream.sqlite3"
    with Ingestion(feed=feed, connector=connector, database=database, owner="test", journal_file=path) as ingestion:

        def await_loaded(events: int) -> None:
            deadline = time.monotonic() + 60
            while ingestion.progress().loaded < events:
                assert time.monotonic() < deadline, ingestion.progress()
                ingestion.wait(0.02)

        stand_in.wait_until_subscribed("T.AAPL", "LULD.AAPL", "LULD.MSFT", timeout_s=60)
        stand_in.send_exactly(50)
        stand_in.halt("AAPL")
        stand_in.send_exactly(50)
        await_loaded(101)
        assert ingestion._silence.is_halted("AAPL", since=0.0)
        stand_in.halt("AAPL", resume=True)
        stand_in.send_exactly(50)
        await_loaded(152)
        assert not ingestion._silence.is_halted("AAPL", since=0.0)
    assert rows(database, "SELECT symbol, kind, feed FROM trading_halt ORDER BY time") == [
        ("AAPL", "halt", "tape"),
        ("AAPL", "resume", "tape"),
    ]
    halted = (
        "SELECT count(*) FROM stocks_real_time WHERE symbol = 'AAPL' "
        "AND received_at > (SELECT received_at FROM trading_halt WHERE kind = 'halt') "
        "AND received_at < (SELECT received_at FROM trading_halt WHERE kind = 'resume')"
    )
    assert rows(database, halted) == [(0,)]
    assert unbalanced(database) == []
    coverage = "SELECT count(*), bool_and(ended_by = 'stopped') FROM ticks_platform.feed_coverage WHERE symbol = 'AAPL'"
    assert rows(database, coverage) == [(1, True)], "it stays covered"
