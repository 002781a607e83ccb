"""Defects that the count of the field campaign must find."""

from __future__ import annotations

from ticks_platform.feeds.transport.reconnect import FeedConnection
from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.handover import returned
from ticks_platform.ingestion.rows import ledger, rejected_events
from ticks_platform_tests.faults.ingester import Mutation

MUTATIONS: dict[str, list[Mutation]] = {
    "last frames not handed over": [
        Mutation(FeedConnection, "_run_connection", "self._flush()", "self._group.clear()")
    ],
    "coverage does not end with its connection": [
        Mutation(Coverage, "_handle_state", "self._end(mine, change, ended_by)", "pass"),
        Mutation(Coverage, "_handle_state", "self._acknowledged.pop(number, None)", "pass"),
    ],
    "rejected events dropped": [
        Mutation(rejected_events, "add", "if rejected:", "if False:"),
        Mutation(ledger, "entries", "rejected=int(rejected_of[number])", "rejected=0"),
        Mutation(
            ledger,
            "entries",
            "events=int(batch.events_of[number])",
            "events=int(batch.events_of[number] - rejected_of[number])",
        ),
    ],
    "a journal that comes back is not compared": [
        Mutation(returned, "announce", "if lease.position < journal.end:", "if False:")
    ],
}
