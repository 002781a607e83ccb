"""Defects that the count of the field campaign must find."""

from __future__ import annotations

from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.handover import returned
from ticks_platform.ingestion.rows import ledger, rejected_events
from ticks_platform_tests.faults.ingester import Mutation

MUTATIONS: dict[str, list[Mutation]] = {
    "coverage begins before its connection": [
        Mutation(
            Coverage,
            "_cover",
            "max(at, min(since))",
            "max(at, min(since)) - 5 * 10**9",
        )
    ],
    "rejected events are dropped": [
        Mutation(rejected_events, "add", "if rejected:", "if False:"),
        Mutation(ledger, "entries", "rejected=int(rejected_of[number])", "rejected=0"),
        Mutation(ledger, "entries", "int(batch.events_of[number])", "int((batch.events_of - rejected_of)[number])"),
    ],
    "a journal that comes back is not compared": [
        Mutation(returned, "announce", "if lease.position < journal.end:", "if False:")
    ],
}
