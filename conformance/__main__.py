"""``python -m conformance [scenario …]``: see conformance/README.md."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence

from conformance import cell
from conformance.cell import Result, Scenario
from conformance.clients import CLIENTS, OURS, provider_of
from conformance.report import print_json, print_table
from conformance.scenarios import SCENARIOS


def run_all(scenarios: Sequence[Scenario], clients: Sequence[str]) -> dict[tuple[str, str], Result]:
    """Run the clients in parallel threads, each client's scenarios one after the other."""
    results: dict[tuple[str, str], Result] = {}

    def run(client: str) -> None:
        for scenario in scenarios:
            if provider_of(client) in scenario.providers:
                results[scenario.name, client] = cell.run(scenario, client)
                print(f"… {scenario.title}: {client}", file=sys.stderr, flush=True)

    threads = [threading.Thread(target=run, args=(client,), name=client) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def main() -> int:
    """Run the given scenarios, or all. The exit code is 1 if one of our clients failed, or a cell could not be run."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        prog="python -m conformance", description=f"Compare clients under faults. Scenarios: {', '.join(names)}."
    )
    parser.add_argument("names", nargs="*", metavar="scenario", help="scenarios to run; all by default")
    parser.add_argument("--client", action="append", choices=CLIENTS, help="client to run; all by default")
    given = parser.parse_args()
    if unknown := set(given.names) - set(names):
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}")
    scenarios = [scenario for scenario in SCENARIOS if not given.names or scenario.name in given.names]
    clients = given.client or CLIENTS
    began = time.monotonic()
    results = run_all(scenarios, clients)
    print_table(scenarios, clients, results)
    in_order = [
        results[scenario.name, client]
        for scenario in scenarios
        for client in clients
        if (scenario.name, client) in results
    ]
    print_json(in_order)
    print(f"{len(in_order)} cells in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return exit_code(in_order)


def exit_code(results: Sequence[Result]) -> int:
    """1 if one of our clients failed, or a cell has an error of its own: then it says nothing of its client."""
    errors = [result for result in results if result.error is not None]
    for result in errors:
        print(f"ERROR in {result.scenario}, {result.client}: {result.error}", file=sys.stderr)
    return int(bool(errors) or any(not result.fine and result.client in OURS for result in results))


if __name__ == "__main__":
    sys.exit(main())
