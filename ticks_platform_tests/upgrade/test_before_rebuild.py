"""An old database continues before its candles are rebuilt; they are right meanwhile, and the same afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from ticks_platform import definitions
from ticks_platform_tests.support.platform_database import PlatformDatabase
from ticks_platform_tests.support.workers import stopped_workers
from ticks_platform_tests.upgrade.dump import Dump
from ticks_platform_tests.upgrade.steps import (
    Continued,
    Moment,
    check_continued,
    continue_,
    differing,
    dropped_afterwards,
    look,
    rebuild,
    renamed,
    same_after_rebuild,
    start,
)

pytestmark = pytest.mark.full


class NotRebuilt(NamedTuple):
    """An old database that continued under today's code, and was rebuilt later."""

    dump: Dump
    continued: Continued
    not_judged: set[str]
    """Checks that say so until the rebuild."""
    before: Moment
    after: Moment


@pytest.fixture(scope="module")
def not_rebuilt(
    dump: Dump, project: Path, database_url: str, platform_database: PlatformDatabase, server_url: str | None
) -> Iterator[NotRebuilt]:
    database = platform_database.drop()
    state, native = project / "state", server_url is not None
    with pytest.MonkeyPatch.context() as patch, dropped_afterwards(platform_database, native=native):
        patch.setenv("TICKS_PROJECT_DIR", str(project))
        patch.setenv("TICKS_STATE_DIR", str(state))
        patch.setenv("TICKS_DATABASE_URL", database_url)
        with database.autocommit() as cursor, stopped_workers(cursor, native=native):
            dump.load(database)
        dump.restore_journals(state)
        platform = definitions.defs()
        start(platform)
        started = look(database, dump, renamed(dump, until_rebuilt=True))
        continued = continue_(database, dump, state, project, started, renamed(dump, until_rebuilt=True))
        # Refreshes what waited.
        start(platform)
        not_judged = _not_judged(platform)
        before = look(database, dump, renamed(dump, until_rebuilt=True))
        rebuild(platform, dry_run=False)
        yield NotRebuilt(dump, continued, not_judged, before, look(database, dump, renamed(dump)))


def _not_judged(platform: dg.Definitions) -> set[str]:
    with dg.DagsterInstance.ephemeral() as instance:
        # The dump has prices that are none, which blocking checks find.
        job = platform.resolve_job_def("check_quality")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    judged = result.get_asset_check_evaluations()
    return {each.check_name for each in judged if (each.description or "").startswith("not judged")}


def test_checks_that_need_the_new_columns_say_so(not_rebuilt: NotRebuilt) -> None:
    older = {"ohlc_invariants", "candles_equal_ticks", "candles_equal_finer"}
    assert not_rebuilt.not_judged == (older if not_rebuilt.dump.is_older else set())


def test_the_account_balances(not_rebuilt: NotRebuilt) -> None:
    assert not_rebuilt.continued.unbalanced == []
    assert not_rebuilt.continued.left == 0


def test_what_waited_becomes_what_the_old_code_would_have_made_of_it(dump: Dump, not_rebuilt: NotRebuilt) -> None:
    check_continued(dump, not_rebuilt.continued)


def test_a_rebuild_changes_no_row_and_no_candle(not_rebuilt: NotRebuilt) -> None:
    before, after = not_rebuilt.before.rows, not_rebuilt.after.rows
    assert differing(same_after_rebuild(not_rebuilt.dump, before), same_after_rebuild(not_rebuilt.dump, after)) == ""
    assert not_rebuilt.continued.added["stocks_real_time"].values
