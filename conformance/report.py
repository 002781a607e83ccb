"""The results: a table, and one JSON line per cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from conformance.cell import Result, Scenario
from conformance.clients import OURS, provider_of


def print_table(
    scenarios: Sequence[Scenario], clients: Sequence[str], results: Mapping[tuple[str, str], Result]
) -> None:
    """One line per scenario, one column per client."""
    headings = ["", *clients]
    rows = [
        [scenario.title, *(_words(scenario, results.get((scenario.name, client))) for client in clients)]
        for scenario in scenarios
    ]
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    for row in (headings, ["-" * width for width in widths], *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(flush=True)


def print_json(results: Sequence[Result]) -> None:
    """One line per cell."""
    for result in results:
        seconds = None if result.seconds is None else round(result.seconds, 2)
        print(json.dumps({**result._asdict(), "seconds": seconds}), flush=True)


def _words(scenario: Scenario, result: Result | None) -> str:
    if result is None:
        return ""
    if result.error is not None:
        return "ERROR, see below"
    if scenario.refused:
        return "gave up: right" if result.ended is not None else "retries forever: WRONG"
    said = []
    if result.ended is not None:
        said.append("gave up: WRONG")
    elif result.seconds is None:
        on_purpose = result.client in OURS and provider_of(result.client) in scenario.patient
        said.append(f">{result.cap:.0f} s{' on purpose' if on_purpose else ''}")
    else:
        said.append(f"{result.seconds:.1f} s")
    if result.lost:
        said.append(f"lost {result.lost:,}")
    if result.doubled:
        said.append(f"doubled {result.doubled:,}")
    return ", ".join(said)
