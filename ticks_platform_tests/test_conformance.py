"""The conformance run works, and finds our two clients fine: with two of the scenarios of `make conformance`."""

from __future__ import annotations

from conformance.__main__ import run_all
from conformance.clients import OURS
from conformance.scenarios import SCENARIOS


def test_our_clients_lose_and_double_nothing() -> None:
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in ("close_1000", "broken_json")]
    results = run_all(scenarios, OURS)
    assert len(results) == 4
    for result in results.values():
        # How long it took is for `make conformance` to judge, on a machine that does nothing else.
        assert (result.error, result.ended, result.lost, result.doubled) == (None, None, 0, 0), result
        assert result.seconds is not None
        assert result.sent > 20
