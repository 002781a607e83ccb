"""`make conformance` works and finds no error of our two clients, in two of its scenarios."""

from __future__ import annotations

import pytest

from conformance.__main__ import exit_code, run_all
from conformance.cell import Result
from conformance.clients import (
    CLIENTS,
    OFFICIAL_TWELVE_DATA,
    OURS,
    OURS_TWELVE_DATA,
    QUICK,
    QUICK_TWELVE_DATA,
    patience_of,
)
from conformance.scenarios import SCENARIOS


@pytest.mark.full
def test_our_clients_lose_and_double_nothing() -> None:
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in ("close_1000", "broken_json")]
    results = run_all(scenarios, QUICK)
    assert len(results) == 4
    for result in results.values():
        # `make conformance` judges the times, on an idle machine.
        assert (result.error, result.ended, result.lost, result.doubled) == (None, None, 0, 0), result
        assert result.seconds is not None
        assert result.sent > 20


def test_ours_are_shown_as_they_ship_and_with_little_patience() -> None:
    assert {client: patience_of(client) for client in OURS} == {
        client: 2.0 if client in QUICK else 60.0 for client in CLIENTS if client in OURS
    }


def test_a_cell_in_error_fails_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    right = Result("abort", OURS_TWELVE_DATA)
    assert exit_code([right, Result("abort", OFFICIAL_TWELVE_DATA, fine=False)]) == 0
    assert exit_code([right, Result("abort", QUICK_TWELVE_DATA, fine=False)]) == 1
    broken = Result("bad_key_401", OFFICIAL_TWELVE_DATA, fine=False, error="RuntimeError('no answer')")
    assert exit_code([right, broken]) == 1
    assert "bad_key_401, twelvedata: RuntimeError" in capsys.readouterr().err


@pytest.mark.full
def test_the_official_client_has_a_verdict_with_a_wrong_key() -> None:
    scenarios = [scenario for scenario in SCENARIOS if scenario.name == "bad_key_401"]
    results = run_all(scenarios, (OFFICIAL_TWELVE_DATA, QUICK_TWELVE_DATA))
    assert {client: (result.error, result.ended is None) for (_, client), result in results.items()} == {
        OFFICIAL_TWELVE_DATA: (None, True),
        QUICK_TWELVE_DATA: (None, False),
    }
