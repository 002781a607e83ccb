"""What `ticks dev` shows of Dagster's output."""

from __future__ import annotations

import os

import pytest

from ticks_platform.cli import dev_output
from ticks_platform.cli.dev_output import Condenser, follow

RUN = "6552f955-d44d-4bd0-b9cb-2dc8f4cfb3bf"
UI = "http://127.0.0.1:3000"

_ERROR = "\x1b[32m2026-11-27 03:17:34 +0000\x1b[0m - dagster - \x1b[31mERROR\x1b[0m"
FAILURE = f"""\
{_ERROR} - nightly - {RUN} - 8517 - STEP_FAILURE - Step "report" failed.

dagster._core.errors.DagsterExecutionStepExecutionError: Error occurred while executing op "report"::

ZeroDivisionError: division by zero

Stack Trace:
  File "/venv/dagster/execute_plan.py", line 246, in dagster_event_sequence_for_step
    yield from check.generator(step_events)
               ^^^^^^^^^^^^^^^^
  File "/home/me/project/defs/report.py", line 12, in report
    return 1 / rows
           ~~^~~~~~

The above exception occurred during handling of the following exception:
KeyError: 'rows'

Stack Trace:
  File "/home/me/project/defs/report.py", line 10, in report
    rows = found["rows"]
"""


def shown(*texts: str, stopping: bool = False) -> list[str]:
    condenser = Condenser(UI)
    condenser.is_stopping = stopping
    found = [out for text in texts for line in text.splitlines() for out in condenser.feed(line)]
    return [*found, *condenser.flush()]


NO_CODE_SERVER = f"""\
{_ERROR} - Sensor tick caught an error
Traceback (most recent call last):
  File "/venv/grpc/_channel.py", line 999, in _end_unary_response_blocking
    raise _InactiveRpcError(state)  # pytype: disable=not-instantiable
grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:
\tstatus = StatusCode.UNKNOWN
>

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/venv/dagster/_grpc/client.py", line 195, in _raise_grpc_exception
    raise DagsterUserCodeUnreachableError(
dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach user code server. gRPC Error code: UNKNOWN
2026-11-27 18:56:03 +0000 - dagster.daemon - WARNING - /venv/dagster/context.py:1172: UserWarning: \
Error loading repository location demo
  warnings.warn(f"Error loading repository location {{location_name}}")
"""


def test_a_failure_has_its_message_its_causes_and_where_it_happened() -> None:
    assert shown(FAILURE, "feed=tape connection=1 stalled: no data") == [
        '03:17:34 ERROR nightly - run 6552f955 - STEP_FAILURE - Step "report" failed.',
        'dagster._core.errors.DagsterExecutionStepExecutionError: Error occurred while executing op "report"::',
        "ZeroDivisionError: division by zero",
        '  File "/home/me/project/defs/report.py", line 12, in report',
        "    return 1 / rows",
        "The above exception occurred during handling of the following exception:",
        "KeyError: 'rows'",
        '  File "/home/me/project/defs/report.py", line 10, in report',
        '    rows = found["rows"]',
        f"  in full: {UI}/runs/{RUN}",
        "feed=tape connection=1 stalled: no data",
    ]


def test_a_run_does_not_repeat_what_its_step_has_said() -> None:
    run = FAILURE.replace('STEP_FAILURE - Step "report" failed.', "RUN_FAILURE - Steps failed: ['report'].")
    skipped = (
        f"{_ERROR} - nightly - {RUN} - 8517 - send - Dependencies for step send failed: ['report']. Not executing."
    )
    last = "03:17:34 ERROR nightly - run 6552f955 - RUN_FAILURE - Steps failed: ['report']."
    assert shown(FAILURE, skipped, run) == [*shown(FAILURE), last]
    assert len(shown(run)) == len(shown(FAILURE)), "a run that fails without a step says why"


def test_plain_lines_come_as_they_are_without_dagsters_prefix() -> None:
    line = "2026-11-27 03:15:43 +0000 - dagster - INFO - __repository__ - platform_supervisor - feed 'tape': no run"
    assert shown(line, "", "a line of a user's own") == [
        "03:15:43 platform_supervisor - feed 'tape': no run",
        "a line of a user's own",
    ]
    warning = "2026-11-27 03:25:21 +0000 - dagster.daemon.SchedulerDaemon - WARNING - "
    assert shown(f"{warning}catch_up has no partition set, so not trying to catch up", f"{warning}late") == [
        "03:25:21 WARNING late"
    ]


def test_the_stop_is_no_failure_and_a_failure_in_it_is() -> None:
    interrupted = FAILURE.replace("ZeroDivisionError: division by zero", "DagsterExecutionInterruptedError")
    orphan = 'Traceback (most recent call last):\n  File "watch_orphans.py", line 42, in <module>\nKeyboardInterrupt'
    daemon = "2026-11-27 03:27:57 +0000 - dagster.daemon.QueuedRunCoordinatorDaemon - ERROR - Caught an error dequeuing"
    assert shown(interrupted, orphan, daemon, stopping=True) == []
    assert shown(FAILURE, stopping=True) == shown(FAILURE) != []
    assert len(shown(orphan)) == 2, "without a stop it is something that went wrong"


def test_a_failure_is_shown_though_no_other_line_follows() -> None:
    reading, writing = os.pipe()
    found: list[str] = []
    thread = follow(reading, Condenser(UI), found.append)
    os.write(writing, FAILURE.encode()[:700])
    os.write(writing, FAILURE.encode()[700:])
    for _ in range(200):
        if found and found[-1].endswith(RUN):
            break
        thread.join(0.05)
    assert found == shown(FAILURE)
    os.write(writing, b"the last words")
    os.close(writing)
    thread.join(60)
    assert found[-1] == "the last words"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("closed file")]
)
def test_dagster_is_read_on_though_nobody_can_see_it(error: Exception) -> None:
    """Dagster waits once the pipe is full: a log on a full disk, or a `tee` that is gone, must not stop its feeds."""
    reading, writing = os.pipe()
    found: list[str] = []

    def show(line: str) -> None:
        if not found:
            found.append("failed")
            raise error
        found.append(line)

    thread = follow(reading, Condenser(UI), show)
    os.write(writing, b"lost\n")
    for _ in range(200):
        if found:
            break
        thread.join(0.05)
    os.write(writing, b"seen\n")
    os.close(writing)
    thread.join(60)
    assert found == ["failed", "seen"]


def test_what_each_sensor_says_without_a_code_server_is_left_to_who_starts_it_again() -> None:
    assert shown(NO_CODE_SERVER, "feed=tape connection=1 stalled: no data") == [
        "feed=tape connection=1 stalled: no data"
    ]


def test_a_history_that_cannot_be_used_is_said_in_one_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's services say it a hundred times a minute, with a stack each time, as onto a disk that is full."""
    error = f"""\
{_ERROR} - Failed to add heartbeat:
sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database or disk is full
[SQL: SELECT daemon_heartbeats.body
FROM daemon_heartbeats]
(Background on this error at: https://sqlalche.me/e/21/e3q8)

Stack Trace:
  File "/venv/sqlalchemy/engine/default.py", line 1192, in do_execute
    cursor.execute(statement, parameters)

The above exception was caused by the following exception:
sqlite3.OperationalError: database or disk is full
"""
    plain = "Exception while writing logger call to event log: (sqlite3.OperationalError) database or disk is full"
    found = shown(*[error, plain, "(Background on this error at: https://sqlalche.me/e/21/e3q8)"] * 100)
    assert len(found) == 1
    assert found[0].startswith("Dagster cannot use its history in .dagster_home: database or disk is full. Feeds that")
    assert "free space" in found[0]
    monkeypatch.setattr(dev_output, "_STORAGE_SECONDS", 0.0)
    assert len(shown(plain, plain)) == 2


def test_a_step_that_fails_with_a_database_of_its_own_is_shown() -> None:
    of_own = FAILURE.replace("ZeroDivisionError: division by zero", "sqlite3.OperationalError: no such table: mine")
    assert "sqlite3.OperationalError: no such table: mine" in shown(of_own)


def test_a_run_is_called_a_run_once() -> None:
    line = f"2026-11-27 18:53:49 +0000 - dagster - INFO - ingest - {RUN} - stream_ticks - handed over to run {RUN}"
    assert shown(line) == ["18:53:49 ingest - run 6552f955 - stream_ticks - handed over to run 6552f955"]
