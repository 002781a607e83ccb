"""Why a test may be skipped. CI fails on any other reason, so that no missing tool hides a feature."""

from __future__ import annotations

from typing import NoReturn

import pytest

ONLY_NATIVE = "needs a native TimescaleDB"
ONLY_EMBEDDED = "needs the embedded TimescaleDB"
NO_CONTAINER_ENGINE = "no container engine"
NO_SERVERS = "no Redis or no PostgreSQL server"

EXPECTED = (ONLY_NATIVE, ONLY_EMBEDDED, NO_CONTAINER_ENGINE, NO_SERVERS)
"""What a reason begins with."""


def skip(expected: str, detail: str) -> NoReturn:
    """Skip the test that runs, for one of the reasons above."""
    pytest.skip(f"{expected}: {detail}")


def is_expected(reason: str) -> bool:
    """Whether a reason is one of those above. pytest puts "Skipped: " in front."""
    return reason.removeprefix("Skipped: ").startswith(EXPECTED)
