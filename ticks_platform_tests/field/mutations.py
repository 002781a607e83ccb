"""Defects that the count of the field campaign must find."""

from __future__ import annotations

from ticks_platform.feeds.transport.reconnect import FeedConnection
from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.rows import rejected_events
from ticks_platform_tests.faults.ingester import Mutation

MUTATIONS: dict[str, list[Mutation]] = {
    "last frames not handed over": [
        Mutation(FeedConnection, "_run_connection", "self._flush()", "self._group.clear()")
    ],
    "rejected events dropped": [Mutation(rejected_events, "add", "if rejected:", "if False:")],
}
