"""What is not copied is a number: as a metric, in `ticks status`, on the feed's page, and in an alert."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import metrics_export, status
from ticks_platform.ingestion.metrics import Gauges, Metrics
from ticks_platform.ingestion.metrics_export import MetricsExport, told_of_copy
from ticks_platform.ingestion.progress import Unshipped
from ticks_platform.monitoring import troubles
from ticks_platform.monitoring.database import Watcher
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.journal_copy.machine import copied_feed

LATE = Unshipped(1_234_567, 95.0, "the stream has no leader")
FINE = Unshipped(20, 0.1, None)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeedSettings:
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path))
    return FeedSettings.model_validate(copied_feed({"servers": ["nats://127.0.0.1:1"], "monitoring": "unchecked"}))


def tell(feed: FeedSettings, unshipped: Unshipped | None) -> None:
    export = MetricsExport(feed, Metrics(), lambda: Gauges(0, True, unshipped=unshipped))
    export.update()
    export.close()


def told(feed: FeedSettings) -> list[str]:
    """What the alerts say of the copy, while the database is away."""
    seen = troubles.look(Watcher(), Database("postgresql://nobody@127.0.0.1:1/nothing"), [feed])
    assert not seen.is_unknown("copy test")
    return [trouble.text for trouble in seen.troubles if trouble.key == "copy test"]


def test_a_late_copy_is_told_without_the_database(copied: FeedSettings) -> None:
    assert told(copied) == []
    tell(copied, LATE)
    (text,) = told(copied)
    assert (
        "feed test: journal not copied now, 1,234,567 bytes of it neither stored nor copied, the oldest since 95 s"
        in text
    )
    tell(copied, FINE)
    assert told(copied) == []
    tell(copied, FINE._replace(seconds=40.0))
    assert len(told(copied)) == 1
    # Nothing waits, and nothing would be copied: the next outage of the database would find no copy.
    tell(copied, Unshipped(0, 0.0, "refused"))
    (text,) = told(copied)
    assert "journal not copied now, all of it is stored or copied" in text


def test_a_run_that_has_ended_tells_nothing(copied: FeedSettings) -> None:
    tell(copied, LATE)
    file = metrics_export.file_of("test")
    old = time.time() - metrics_export.UP_WITHIN - 1
    os.utime(file, (old, old))
    assert told_of_copy("test") is None
    assert told(copied) == []
    tell(copied, None)
    assert told_of_copy("test") is None


def test_the_status_shows_it(copied: FeedSettings, database: Database) -> None:
    def shown() -> status.FeedStatus:
        with database.transaction() as cursor:
            (found,) = status.feeds(cursor, [copied.name])
        return found

    assert (shown().not_copied_bytes, shown().copy_up) == (None, None)
    assert "copied" not in shown().summary()
    tell(copied, LATE)
    assert shown().record()["not_copied_bytes"] == 1_234_567
    assert shown().copy_up is False
    assert (
        shown()
        .summary()
        .endswith("; journal not copied now, 1,234,567 bytes of it neither stored nor copied, the oldest since 95 s")
    )
    tell(copied, Unshipped(0, 0.0, None))
    assert shown().summary().endswith("; journal copied, all of it is stored or copied")
