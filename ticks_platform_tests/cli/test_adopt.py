"""The commands on a database with the tutorial's tables: each stops in words, until they are adopted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticks_platform_tests.cli.conftest import Ticks
from ticks_platform_tests.support.tutorial import Tutorial

pytestmark = pytest.mark.full

WORDS = ("stocks_real_time", "tutorial's", "one_hour_candle", "company", "`ticks database adopt --dry-run`")


def test_commands_stop_until_the_tables_are_adopted(ticks: Ticks, demo: Path, tutorial: Tutorial) -> None:
    rows = tutorial.rows()
    for arguments in (["ingest", "stand_in"], ["dev", "--port", "0"], ["status"], ["doctor", "--offline"]):
        refused = ticks(*arguments, cwd=demo)
        assert refused.returncode != 0
        assert [word for word in WORDS if word not in refused.stdout + refused.stderr] == [], arguments
        assert "Traceback" not in refused.stderr
    tried = ticks("database", "adopt", "--dry-run", cwd=demo)
    assert tried.returncode == 0, tried.stderr
    assert "would be done: 2000 ticks" in tried.stdout
    assert "a dry run: nothing was changed" in tried.stdout
    assert "OLD" in tried.stdout
    assert tutorial.rows() == rows
    done = ticks("database", "adopt", cwd=demo)
    assert done.returncode == 0, done.stderr
    assert "done: 2000 ticks" in done.stdout
    assert tutorial.rows() == rows
    healthy = ticks("doctor", "--offline", cwd=demo)
    assert "FIX   tables" not in healthy.stdout
    again = ticks("database", "adopt", cwd=demo)
    assert (again.returncode, "nothing to adopt" in again.stdout) == (0, True)


def test_what_is_in_the_way_is_told_before_anything_is_done(ticks: Ticks, demo: Path, tutorial: Tutorial) -> None:
    tutorial.run("CREATE VIEW one_minute_candle AS SELECT 1 AS bucket")
    tried = ticks("database", "adopt", "--dry-run", cwd=demo)
    assert tried.returncode == 1
    assert "FIX   one_minute_candle: rename it with ALTER VIEW one_minute_candle RENAME TO own_" in tried.stdout
    refused = ticks("database", "adopt", cwd=demo)
    assert refused.returncode == 1
    assert "ALTER VIEW one_minute_candle" in refused.stderr
