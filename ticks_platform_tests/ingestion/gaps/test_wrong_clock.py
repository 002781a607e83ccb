"""Runs on a machine whose clock is wrong, is set while data streams, or which slept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ticks_platform import http_date
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport import clock
from ticks_platform.feeds.transport.state import State
from ticks_platform.ingestion import database_clock
from ticks_platform.ingestion.gaps import refused_times
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import price, rows
from ticks_standin import StandIn

PATIENCE = 60.0

MINUTES = 60.0


class MachineClock:
    """The clocks of the machine under test, as `ticks_platform.feeds.transport.clock` reads them."""

    def __init__(self) -> None:
        self.wrong = 0.0
        """Seconds that the wall clock is ahead."""
        self.slept = 0.0

    def module(self) -> SimpleNamespace:
        """In place of the module `time`."""
        return SimpleNamespace(
            time_ns=lambda: time.time_ns() + round(self.wrong * 1e9),
            clock_gettime_ns=lambda number: time.clock_gettime_ns(number) - round(self.slept * 1e9),
        )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> MachineClock:
    found = MachineClock()
    monkeypatch.setattr(clock, "time", found.module())
    return found


class Market:
    """Sends an event every few milliseconds, stamped by a right clock."""

    lag = 0
    """Seconds by which the events are delayed."""


@pytest.fixture
def market(stand_in: StandIn) -> Iterator[Market]:
    found, ended = Market(), threading.Event()

    def send() -> None:
        number = 0
        while not ended.wait(0.02):
            number += 1
            stand_in.inject(price("AAPL", price=number, timestamp=int(time.time()) - found.lag))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    yield found
    ended.set()
    thread.join()


@pytest.fixture
def ingestion(stand_in: StandIn, database: Database, tmp_path: Path) -> Callable[..., Ingestion]:
    settings = {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL"]}
    feed = FeedSettings.model_validate(settings)

    def make(owner: str = "test") -> Ingestion:
        return Ingestion(
            feed=feed,
            connector=feed.connector(stand_in_url=stand_in.url("twelve_data", key=None)),
            database=database,
            owner=owner,
            journal_file=tmp_path / "wrong.sqlite3",
            follow=owner != "test",
        )

    return make


def await_true(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def flow(running: Ingestion, count: int = 100) -> None:
    """Wait until so many more events are loaded."""
    goal = running.progress().loaded + count
    await_true(lambda: running.progress().loaded >= goal)


def arrivals(database: Database) -> list[tuple[float, float | None]]:
    """Seconds from event to arrival, as corrected; and by the clock of the machine, where that was corrected."""
    return rows(
        database,
        "SELECT extract(epoch FROM received_at - time)::float8, extract(epoch FROM received_at_raw - time)::float8 "
        "FROM stocks_real_time ORDER BY tick_id",
    )


def gaps(database: Database) -> list[tuple[str, float]]:
    """Cause and seconds of the gaps that have ended."""
    return rows(
        database,
        "SELECT cause, extract(epoch FROM ends_at - begins_at)::float8 FROM ticks_platform.feed_gap "
        "WHERE ends_at IS NOT NULL ORDER BY begins_at",
    )


def coverage_holds_all_ticks(database: Database) -> bool:
    """Whether every tick but the very last ones arrived while its symbol was covered."""
    return rows(
        database,
        "SELECT count(*) FROM stocks_real_time WHERE received_at < (SELECT max(received_at) - INTERVAL '1 second' "
        "FROM stocks_real_time) AND NOT EXISTS (SELECT FROM ticks_platform.feed_coverage WHERE begins_at <= "
        "received_at + INTERVAL '1 second' AND coalesce(ends_at, 'infinity') >= received_at - INTERVAL '2 seconds')",
    ) == [(0,)]


@pytest.mark.full
def test_a_machine_20_minutes_behind_stores_what_it_gets(
    ingestion: Callable[..., Ingestion], market: Market, machine: MachineClock, database: Database
) -> None:
    machine.wrong = -20 * MINUTES
    with ingestion() as running:
        flow(running)
        trouble = running.progress().trouble or ""
        assert "feed 'test': on connection 1, this machine's clock is 1" in trouble
        assert "s behind the provider's" in trouble
        assert "NTP" in trouble
        told = "SELECT clock_trouble FROM ticks_platform.feed_lease"
        await_true(lambda: "behind the provider's" in (rows(database, told)[0][0] or ""))
        machine.wrong = 0.0
        flow(running)
        assert "set forward by 1200.0 s" in (running.progress().trouble or "")
        flow(running)
        assert running.progress().rejected == 0
    found = arrivals(database)
    assert all(-1.0 <= lag < 5.0 for lag, _ in found)
    raw = [each for _, each in found if each is not None]
    assert all(-20 * MINUTES <= each < -20 * MINUTES + 5.0 for each in raw)
    assert len(raw) >= 100
    assert found[-1][1] is None
    assert coverage_holds_all_ticks(database)
    stepped = [seconds for cause, seconds in gaps(database) if cause == "clock_stepped"]
    assert stepped
    assert max(stepped) < 5.0


def nothing_lies_in_the_future(database: Database) -> bool:
    """Whether no arrival, coverage or gap does, by the clock of the database, which is right."""
    return rows(
        database,
        "SELECT count(*) FROM (SELECT received_at FROM stocks_real_time "
        "UNION ALL SELECT greatest(begins_at, ends_at) FROM ticks_platform.feed_coverage "
        "UNION ALL SELECT greatest(begins_at, ends_at) FROM ticks_platform.feed_gap "
        "UNION ALL SELECT last_received_at FROM ticks_platform.feed_ledger "
        "UNION ALL SELECT last_received_at FROM ticks_platform.feed_hour "
        "UNION ALL SELECT greatest(wanted_from, wanted_until) FROM ticks_platform.feed_symbol) AS at (moment) "
        "WHERE isfinite(moment) AND moment > clock_timestamp() + INTERVAL '1 second'",
    ) == [(0,)]


@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param(-86400.0, marks=pytest.mark.full),
        pytest.param(120.0, marks=pytest.mark.full),
        20 * MINUTES,
        pytest.param(3 * 3600.0, marks=pytest.mark.full),
        pytest.param(86400.0, marks=pytest.mark.full),
    ],
)
def test_a_clock_that_is_wrong_from_the_start(
    ingestion: Callable[..., Ingestion], market: Market, machine: MachineClock, database: Database, ahead: float
) -> None:
    machine.wrong = ahead
    with ingestion() as running:
        flow(running, 20)
        trouble = running.progress().trouble or ""
        assert "the event times and the Date of its server's answers tell" in trouble
        assert "NTP" in trouble
        told = "SELECT clock_trouble FROM ticks_platform.feed_lease"
        await_true(lambda: rows(database, told) == [(trouble,)])
        assert nothing_lies_in_the_future(database)
        assert coverage_holds_all_ticks(database)
        machine.wrong = 0.0
        flow(running, 40)
        assert running.progress().rejected == 0
        assert f"was set {'back' if ahead > 0 else 'forward'} by {abs(ahead):.1f} s" in (
            running.progress().trouble or ""
        )
    found = arrivals(database)
    assert all(-1.0 <= lag < 5.0 for lag, _ in found)
    assert {round((raw - lag) / 60) for lag, raw in found if raw is not None} == {round(ahead / 60)}
    assert found[-1][1] is None
    assert nothing_lies_in_the_future(database)
    assert coverage_holds_all_ticks(database)
    assert {cause for cause, _ in gaps(database)} == {"clock_stepped"}
    assert max(seconds for _, seconds in gaps(database)) < 5.0


@pytest.mark.full
def test_a_clock_that_is_set_right_between_two_runs(
    ingestion: Callable[..., Ingestion], market: Market, machine: MachineClock, database: Database
) -> None:
    machine.wrong = 3600.0
    with ingestion() as running:
        flow(running, 20)
    machine.wrong = 0.0
    with ingestion() as running:
        flow(running, 20)
        assert running.progress().trouble is None
        await_true(lambda: [cause for cause, _ in gaps(database)] == ["stopped"])
    ((_, seconds),) = gaps(database)
    assert seconds < 10.0
    assert nothing_lies_in_the_future(database)
    assert coverage_holds_all_ticks(database)


@pytest.mark.full
def test_delayed_data_on_a_clock_that_is_ahead(
    ingestion: Callable[..., Ingestion], market: Market, machine: MachineClock, database: Database
) -> None:
    machine.wrong, market.lag = 20 * MINUTES, 900
    with ingestion() as running:
        flow(running, 20)
        assert "1200 s ahead of the provider's, as the Date of its server's answers tell" in (
            running.progress().trouble or ""
        )
    assert all(899.0 <= lag < 905.0 for lag, _ in arrivals(database))
    assert nothing_lies_in_the_future(database)


@pytest.mark.full
def test_the_clock_of_the_databases_server_tells_too(
    ingestion: Callable[..., Ingestion],
    market: Market,
    machine: MachineClock,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_date, "ahead", lambda _headers, **_times: None)  # a provider that sends no Date
    monkeypatch.setattr(database_clock, "is_elsewhere", lambda _descriptor: True)
    machine.wrong = 20 * MINUTES
    with ingestion() as running:
        await_true(lambda: "the clock of the database's server" in (running.progress().trouble or ""))
        flow(running, 20)
        assert "the event times and the clock of the database's server tell" in (running.progress().trouble or "")
        machine.wrong = 0.0
        flow(running, 20)
        assert running.progress().rejected == 0
    assert all(-1.0 <= lag < 5.0 for lag, _ in arrivals(database))
    assert nothing_lies_in_the_future(database)


@pytest.mark.full
@pytest.mark.parametrize("ahead", [20 * MINUTES, -20 * MINUTES])
def test_a_hand_over_on_a_wrong_clock_doubles_nothing(
    ingestion: Callable[..., Ingestion], market: Market, machine: MachineClock, database: Database, ahead: float
) -> None:
    """Arrivals in the database are corrected, those in the successor's journal are not."""
    machine.wrong = ahead
    with ingestion() as first:
        flow(first, 20)
        with ingestion("second") as second:
            assert first.wait(PATIENCE)
            assert first.successor == "second"
            flow(second, 50)
    assert rows(database, "SELECT count(*) - count(DISTINCT price) FROM stocks_real_time") == [(0,)]
    assert rows(database, "SELECT left_out > 10 FROM ticks_platform.feed_handover") == [(True,)]
    assert all(-1.0 <= lag < 5.0 for lag, _ in arrivals(database))
    assert nothing_lies_in_the_future(database)


@pytest.mark.full
def test_a_clock_that_is_set_back_and_forth(
    ingestion: Callable[..., Ingestion], market: Market, machine: MachineClock, database: Database
) -> None:
    with ingestion() as running:
        for wrong in (0.0, -20 * MINUTES, 20 * MINUTES, 0.0):
            machine.wrong = wrong
            flow(running)
        assert running.progress().rejected == 0
    found = arrivals(database)
    assert all(-1.0 <= lag < 5.0 for lag, _ in found)
    assert {round((each - lag) / MINUTES) for lag, each in found if each is not None} == {-20, 20}
    assert coverage_holds_all_ticks(database)
    assert {cause for cause, _ in gaps(database)} == {"clock_stepped"}
    assert max(seconds for _, seconds in gaps(database)) < 5.0


def test_a_sleep_is_a_gap(
    ingestion: Callable[..., Ingestion], market: Market, machine: MachineClock, database: Database
) -> None:
    with ingestion() as running:
        flow(running)
        machine.slept = 30.0
        await_true(lambda: "slept for 30.0 s" in (running.progress().trouble or ""))
        flow(running)
        assert running.progress().rejected == 0
    assert {cause for cause, _ in gaps(database)} == {"slept"}
    assert coverage_holds_all_ticks(database)


def test_a_single_event_ahead_of_its_neighbours_is_refused(
    ingestion: Callable[..., Ingestion], market: Market, stand_in: StandIn, database: Database
) -> None:
    with ingestion() as running:
        flow(running, 20)
        stand_in.inject(price("AAPL", price=-1, timestamp=int(time.time()) + 1200))
        flow(running, 20)
        assert running.progress().rejected == 1
        assert running.progress().trouble is None
    assert rows(database, "SELECT count(*) FROM stocks_real_time WHERE price < 0") == [(0,)]
    assert gaps(database) == []


def test_a_time_in_which_everything_was_refused_is_a_gap(
    stand_in: StandIn,
    ingestion: Callable[..., Ingestion],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refused_times, "LONG_ENOUGH", 200_000_000)
    with ingestion() as running:
        await_true(lambda: running.progress().state is State.STREAMING or _injects(stand_in, price("AAPL")))
        good = running.progress().loaded
        for number in range(1, 11):
            stand_in.inject(price("AAPL", price="much", timestamp=int(time.time())))
            await_true(lambda number=number: running.progress().rejected >= number)
            time.sleep(0.05)
        stand_in.inject(price("AAPL"))
        await_true(lambda: running.progress().loaded > good)
        stand_in.inject(price("AAPL"))
        await_true(lambda: [cause for cause, _ in gaps(database)] == ["refused"])
        flowing = "SELECT count(*) FROM ticks_platform.feed_coverage WHERE ends_at IS NULL"
        await_true(lambda: rows(database, flowing) == [(1,)])
        ((_, seconds),) = gaps(database)
    assert seconds > 0.4


def _injects(stand_in: StandIn, event: bytes) -> bool:
    stand_in.inject(event)
    return False
