"""`make conformance` works and finds no error of our two clients, in two of its scenarios."""

from __future__ import annotations

from conformance.__main__ import run_all
from conformance.clients import OURS
from conformance.scenarios import SCENARIOS


def test_our_clients_lose_and_double_nothing() -> None:
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in ("close_1000", "broken_json")]
    results = run_all(scenarios, OURS)
    assert len(results) == 4
    for result in results.values():
        # `make conformance` judges the times, on an idle machine.
        assert (result.error, result.ended, result.lost, result.doubled) == (None, None, 0, 0), result
        assert result.seconds is not None
        assert result.sent > 20
