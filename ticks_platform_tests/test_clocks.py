"""Which modules ask this machine's clock for the time: it may be wrong, or set at any moment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ticks_platform

PACKAGE = Path(ticks_platform.__file__).parent

REASONS = {
    "alerts/delivery.py": "compared with times of files, by the clock that stamps them",
    "defs/alerts/failed_checks.py": "since when, and when it was told; a clock that is set back delays nothing",
    "defs/alerts/failed_runs.py": "since when, and when it was told; a clock that is set back delays nothing",
    "defs/alerts/troubles.py": "since when, and when it was told; a clock that is set back delays nothing",
    "defs/dagster_history/events.py": "compared with times of Dagster, by the clock of its machine",
    "defs/dagster_history/runs.py": "compared with times of Dagster, by the clock of its machine",
    "defs/candles/report_newest.py": "when a report was made; a clock that is set back delays none",
    "defs/candles/chart.py": "an age in a picture",
    "defs/common/runs.py": "compared with times of Dagster, by the clock of its machine",
    "defs/ingestion/ingest.py": "compared with times of Dagster, by the clock of its machine",
    "defs/ingestion/supervisor.py": "compared with times of Dagster, by the clock of its machine",
    "diagnosis.py": "compares the clock with others",
    "retry_after.py": "an answer without a Date; the pause has an upper limit",
    "feeds/exchange_sessions.py": "the age of a copy, which is made again where a clock was set",
    "ingestion/journal_copy/shipper.py": "the age of frames, in reports",
    "ingestion/metrics_export.py": "compared with times of files, by the clock that stamps them",
    "ingestion/group.py": "compared with times of files, by the clock that stamps them",
    "feeds/transport/clock.py": "the one place of a run, which watches the clock",
    "monitoring/exporter.py": "ages, for Prometheus, which knows times only",
    "live/queries.py": "corrected by the database's clock",
    "ingestion/handover/handover.py": "compared with arrivals, by the clock that stamps them",
    "ingestion/handover/returned.py": "compared with arrivals, by the clock that stamps them",
    "ingestion/journal_copy/copy.py": "compared with arrivals, by the clock that stamps them",
    "ingestion/decoding.py": "a loader of what arrived long ago: for its metrics",
    "testing/stored.py": "arrivals that a test gives",
    "ingestion/reference/actions.py": "the first day of a provider's history, with a margin of days",
}

_CALLS = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}


def test_only_these_modules_ask_for_the_time() -> None:
    """All others ask `clock`, or the database's server: `server_clock`."""
    asking = {str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py")) if any(_calls(path))}
    assert asking == set(REASONS)


def _calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield from ([node.attr] if (node.value.id, node.attr) in _CALLS else [])
