"""Requests that use several credits of a limit."""

from __future__ import annotations

from ticks_platform.ingestion.repair.budget import Budget
from ticks_platform.timescale.database import Database


def test_a_request_waits_until_its_credits_fit(database: Database) -> None:
    budget = Budget("twelve_data KEY", 55, None)
    with database.transaction() as cursor:
        assert [budget.reserve(cursor, owner="run", credits=20) is not None for _ in range(3)] == [True, True, False]
        assert 50 < budget.wait(cursor, 20) < 65
        assert budget.wait(cursor, 15) == 0
        assert budget.reserve(cursor, owner="run") is not None
        assert Budget("twelve_data OTHER", 55, None).wait(cursor, 20) == 0


def test_a_request_that_never_fits() -> None:
    assert not Budget("twelve_data KEY", 8, 800).allows(20)
    assert Budget("twelve_data KEY", 55, None).allows(20)
    assert Budget("polygon KEY", None, None).allows(20)
