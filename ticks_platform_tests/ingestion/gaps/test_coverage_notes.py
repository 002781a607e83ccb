"""Changes of coverage that are not in the database when their owner is killed."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.events import Acknowledged, Frame, Notice, Silent
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion import loader
from ticks_platform.ingestion.gaps import killed_coverage
from ticks_platform.ingestion.gaps.coverage import IN_FLIGHT, Coverage
from ticks_platform.ingestion.gaps.coverage_notes import CoverageNotes
from ticks_platform.ingestion.gaps.gaps import update
from ticks_platform.ingestion.gaps.insert_by_symbol import date_wanted, store_earlier, store_periods
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import TakeLease, price, rows

SECOND = 1_000_000_000
WANTED = "SELECT extract(epoch FROM wanted_from)::float8 FROM ticks_platform.feed_symbol WHERE symbol = 'AAPL'"
BEGIN = int(time.time()) - 60


class Owner:
    """An owner of the feed; times are seconds after BEGIN."""

    def __init__(self, database: Database, feed: FeedSettings, path: Path, lease: Lease) -> None:
        self.feed = feed
        connector = feed.connector(stand_in_url="ws://127.0.0.1:1/v1/quotes/price")
        self.coverage = Coverage(connector, feed, at=BEGIN * SECOND)
        self.journal = Journal(path, feed="test", synthetic=True)
        self.journal.seek(lease.position, frames=lease.frames)
        other = path.with_name("journal.2.sqlite3")
        self.coverage.write_notes_to(CoverageNotes(path, epoch=lease.epoch, journals=(path, other)))
        self.loader = Loader(
            database=database,
            lease=lease,
            decode=connector.decode,
            journal=self.journal,
            metrics=Metrics(),
            coverage=self.coverage,
        )
        self._lease = lease

    def change(
        self, at: float, state: State, notice: Notice | None = None, *, connection: int = 1, until: float | None = None
    ) -> None:
        covered = None if until is None else nanoseconds(until) + IN_FLIGHT
        self.loader.record(Change(state, nanoseconds(at), connection, "", notice, covered))

    def receive(
        self, *times: float, symbol: str = "AAPL", connection: int = 1, cost: object = 100.5, ahead: float = 0.0
    ) -> None:
        """Receive a tick at each of these seconds, by a clock that is `ahead`."""
        for at in times:
            frame = Frame(price(symbol, timestamp=BEGIN + int(at), price=cost), nanoseconds(at + ahead), connection)
            self.journal.append([frame], epoch=self._lease.epoch)

    def load(self) -> None:
        """Load everything, and stop."""
        self.journal.stop_appending()
        self.loader.run()


def nanoseconds(at: float) -> int:
    return int((BEGIN + at) * SECOND)


def gaps(database: Database, symbol: str) -> list[tuple[float, float | None, str]]:
    """The gaps of a symbol, in seconds after BEGIN."""
    found = rows(
        database,
        f"SELECT begins_at, ends_at, cause FROM ticks_platform.feed_gap WHERE symbol = '{symbol}' ORDER BY begins_at",
    )
    return [
        (begin.timestamp() - BEGIN, None if end is None else end.timestamp() - BEGIN, cause)
        for begin, end, cause in found
    ]


@pytest.fixture
def owner_of(database: Database, feed: FeedSettings, tmp_path: Path) -> Callable[[Lease], Owner]:
    """Creates the owner of a lease."""
    return lambda lease: Owner(database, feed, tmp_path / "journal.sqlite3", lease)


def test_killed_while_the_database_is_away(
    database: Database, take_lease: TakeLease, owner_of: Callable[[Lease], Owner], tmp_path: Path
) -> None:
    """Stall, silence and reconnect are in gaps, although later frames were loaded from the journal."""
    names = ("AAPL", "BTC/USD")
    first = owner_of(take_lease("first"))
    first.change(1, State.SUBSCRIBING, Acknowledged(names))
    first.receive(1.5)
    with database.transaction() as cursor:
        first.loader._begin(cursor)
        first.loader._renew_lease(cursor)
    first.coverage.committed()
    # From here on, the database is unavailable.
    first.receive(2, 3, 4)
    first.receive(4, symbol="BTC/USD")
    first.change(7, State.STALLED, until=4)
    first.change(8, State.STALLED, Acknowledged(names))
    first.change(9, State.STREAMING)
    first.receive(9, 10, 11, 12)
    first.change(14, State.STREAMING, Silent({"BTC/USD": 4.0}, {"BTC/USD": BEGIN + 9.5}))
    first.receive(15, 16)
    first.change(18, State.BACKING_OFF, until=16)
    first.change(19, State.SUBSCRIBING, Acknowledged(names), connection=2)
    first.receive(20, 21, connection=2)
    # It is killed: nothing that it has in memory is used.
    first.journal.close()
    second = owner_of(take_lease("second"))
    second.change(25, State.SUBSCRIBING, Acknowledged(names))
    second.receive(26)
    second.load()

    lag = IN_FLIGHT / SECOND
    assert gaps(database, "AAPL")[:3] == [(4, 9, "stalled"), (16, 19, "disconnected"), (21 - lag, 25, "killed")]
    assert gaps(database, "BTC/USD")[:2] == [(4, 9, "stalled"), (9.25, 25, "silent")]
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as journal:
        assert journal.execute("SELECT count(*) FROM coverage_note").fetchone() == (0,)


@pytest.mark.parametrize("at_once", [1, 6 << 20])
def test_a_time_in_which_all_was_rejected_before_a_kill(
    database: Database,
    take_lease: TakeLease,
    owner_of: Callable[[Lease], Owner],
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
) -> None:
    """It is no coverage, neither between accepted events nor at the end, however the journal is loaded."""
    monkeypatch.setattr(loader, "MAX_BATCH_BYTES", at_once)
    first = owner_of(take_lease("first"))
    first.change(1, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    first.receive(1.5)
    with database.transaction() as cursor:
        first.loader._begin(cursor)
        first.loader._renew_lease(cursor)
    first.coverage.committed()
    # It is killed before this is decoded.
    first.receive(2, 3, 4)
    first.receive(5, cost="much")  # one among others
    first.receive(6)
    first.receive(7, 8, 9, 13, cost="much")
    first.receive(14, 15)
    first.receive(16, 17, 25, cost="much")
    first.journal.close()
    second = owner_of(take_lease("second"))
    second.change(30, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    second.receive(31)
    second.load()

    lag = IN_FLIGHT / SECOND
    assert gaps(database, "AAPL")[:2] == [(6 - lag, 14, "refused"), (15 - lag, 30, "killed")]


@pytest.mark.parametrize("at_once", [1, 6 << 20])
@pytest.mark.parametrize("ahead", [-1200.0, pytest.param(1200.0, marks=pytest.mark.full)])
def test_the_clock_was_wrong_and_nobody_knew_before_the_kill(
    database: Database,
    take_lease: TakeLease,
    owner_of: Callable[[Lease], Owner],
    monkeypatch: pytest.MonkeyPatch,
    ahead: float,
    at_once: int,
) -> None:
    """Its coverage began by the wrong clock, and does not reach from there to the right end."""
    monkeypatch.setattr(loader, "MAX_BATCH_BYTES", at_once)
    first = owner_of(take_lease("first"))
    first.change(1 + ahead, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    with database.transaction() as cursor:
        first.loader._begin(cursor)
        first.loader._renew_lease(cursor)
    first.coverage.committed()
    # It is killed before this is decoded.
    first.receive(*(2 + number / 10 for number in range(50)), ahead=ahead)
    first.journal.close()
    second = owner_of(take_lease("second"))
    second.change(25, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    second.receive(26)
    second.load()

    of_the_first = rows(
        database,
        "SELECT extract(epoch FROM begins_at)::float8, extract(epoch FROM ends_at)::float8 "
        "FROM ticks_platform.feed_coverage WHERE epoch = 1 AND ends_at > begins_at",
    )
    if ahead < 0:  # events are not from the future
        ((begin, end),) = of_the_first
        assert 1 <= begin - BEGIN <= 2
        assert end - BEGIN == pytest.approx(7, abs=2)
        assert (pytest.approx(end - BEGIN), 25, "killed") in gaps(database, "AAPL")
    else:
        assert all(end - begin < 10 for begin, end in of_the_first)


def test_notes_that_are_stored_twice_do_not_undo_what_was_learned_since(
    database: Database, take_lease: TakeLease, owner_of: Callable[[Lease], Owner]
) -> None:
    """Nobody learned of the commit of their first storing, and the frames that told of the wrong clock are loaded."""
    first = owner_of(take_lease("first"))
    first.change(10 - 1200, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    first.receive(*(11 + number / 10 for number in range(50)), ahead=-1200.0)
    # It is killed: the database has not heard of it.
    first.journal.close()
    second = owner_of(take_lease("second"))
    second.coverage.apply_settings(second.feed, at=nanoseconds(25))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Coverage, "forget_earlier_notes", lambda _self: None)
        second.load()
    second.journal.close()
    found = "SELECT begins_at, ends_at, ended_by FROM ticks_platform.feed_coverage WHERE epoch = 1 ORDER BY begins_at"
    before = rows(database, found), rows(database, WANTED)
    assert [each[2] for each in before[0]] == ["clock_stepped", "killed"]
    third = owner_of(take_lease("third"))
    third.coverage.apply_settings(third.feed, at=nanoseconds(25))
    third.load()
    third.journal.close()
    assert (rows(database, found), rows(database, WANTED)) == before
    fourth = owner_of(take_lease("fourth"))
    assert fourth.coverage._notes is not None
    assert fourth.coverage._notes.earlier() == []
    fourth.journal.close()


@pytest.mark.parametrize("known", ["never", "until 5 s before", "until 5 s after"])
def test_killed_before_its_first_commit(
    database: Database, take_lease: TakeLease, owner_of: Callable[[Lease], Owner], known: str
) -> None:
    """What it received was asked for, also between its last data and the next owner."""
    first = owner_of(take_lease("first"))
    if known != "never":
        until = 5 if known == "until 5 s after" else -5
        query = (
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, wanted_until, calendar) "
            "VALUES ('test', 'AAPL', to_timestamp(%s), to_timestamp(%s), 'always')"
        )
        with database.transaction() as cursor:
            cursor.execute(query, (BEGIN - 100, BEGIN + until))
    first.change(1, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    first.receive(2, 3, 4)
    first.change(5, State.BACKING_OFF, until=4)
    first.change(6, State.SUBSCRIBING, Acknowledged(("AAPL",)), connection=2)
    first.receive(7, 8, connection=2)
    # It is killed: the database has not heard of it.
    first.journal.close()
    second = owner_of(take_lease("second"))
    second.coverage.apply_settings(second.feed, at=nanoseconds(25))
    second.change(26, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    second.receive(27)
    second.load()

    end = 5 if known == "until 5 s after" else 6
    missed = [(4, end, "disconnected"), (8 - IN_FLIGHT / SECOND, 26, "killed")]
    assert [each for each in gaps(database, "AAPL") if 0 < each[0] < 26] == missed


@pytest.mark.parametrize("known", [True, False])
def test_killed_before_a_commit_by_a_clock_that_is_behind(
    database: Database, take_lease: TakeLease, owner_of: Callable[[Lease], Owner], known: bool
) -> None:
    """What was known of the time before stays known; what was not is known as corrected."""
    if known:
        zeroth = owner_of(take_lease("zeroth"))
        zeroth.change(1, State.SUBSCRIBING, Acknowledged(("AAPL",)))
        zeroth.receive(2, 3)
        zeroth.change(4, State.BACKING_OFF, until=3)
        zeroth.load()
        zeroth.journal.close()
    first = owner_of(take_lease("first"))
    first.change(10 - 1200, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    first.receive(*(11 + number / 10 for number in range(50)), ahead=-1200.0)
    # It is killed: the database has not heard of it.
    first.journal.close()
    second = owner_of(take_lease("second"))
    second.coverage.apply_settings(second.feed, at=nanoseconds(25))
    second.change(26, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    second.receive(27)
    second.load()

    ((since,),) = rows(database, WANTED)
    assert since - BEGIN == pytest.approx(0 if known else 10.5, abs=1)
    before = [(3, pytest.approx(10.5, abs=1), "disconnected")] if known else []
    found = [each for each in gaps(database, "AAPL") if 0 < each[0] < 26]
    assert found == [*before, (pytest.approx(16, abs=2), 26, "killed")]


@pytest.mark.parametrize("ahead", [0.0, -1200.0])
def test_another_machine_commits_before_the_first_owner_returns(
    database: Database, take_lease: TakeLease, feed: FeedSettings, tmp_path: Path, ahead: float
) -> None:
    """What the first owner received and lost was asked for, by whatever clock it dated that; and by the other's too."""
    path = tmp_path / "journal.sqlite3"
    first = Owner(database, feed, path, take_lease("first"))
    first.change(10 + ahead, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    first.receive(*(11 + number / 10 for number in range(50)), ahead=ahead)
    # It is killed: the database has not heard of it.
    first.journal.close()
    other = Owner(database, feed, tmp_path / "other" / "journal.sqlite3", take_lease("other"))
    other.coverage.apply_settings(feed, at=nanoseconds(25))
    other.change(26, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    other.receive(27, 28, 29)
    other.change(30, State.CLOSED, until=29)
    other.load()
    other.journal.close()
    assert [each for each in gaps(database, "AAPL") if each[0] < 26] == []
    third = Owner(database, feed, path, take_lease("third"))
    third.coverage.apply_settings(feed, at=nanoseconds(35))
    third.change(36, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    third.receive(37)
    third.load()
    third.journal.close()

    ((since,),) = rows(database, WANTED)
    assert since - BEGIN == pytest.approx(10 if ahead == 0 else 10.5, abs=1)
    (killed, stopped, *_) = gaps(database, "AAPL")
    assert killed == (pytest.approx(16 - IN_FLIGHT / SECOND, abs=2), 26, "killed")
    assert stopped == (29, 36, "stopped")


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_the_first_owners_clock_was_ahead(
    database: Database, take_lease: TakeLease, owner_of: Callable[[Lease], Owner], known: bool, stops: bool
) -> None:
    """Nobody learned of it: since when it asked is known by the clock of the database's server."""
    began = time.time()
    first = owner_of(take_lease("first"))
    first.coverage.apply_settings(first.feed, at=nanoseconds(began - BEGIN + 1200))
    first.change(began - BEGIN + 1201, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    first.receive(began - BEGIN, ahead=1202)
    if stops:
        first.change(began - BEGIN + 1260, State.CLOSED, until=began - BEGIN + 1259)
        with database.transaction() as cursor:
            first.loader._begin(cursor)
            first.loader._renew_lease(cursor)
            update(cursor, "test", now=datetime.fromtimestamp(began, timezone.utc))
        first.coverage.committed()
    first.load()
    first.journal.close()
    ended = time.time()
    second = owner_of(take_lease("second"))
    later = int(ended - BEGIN) + 2
    if not known:  # other symbols since
        others = [each for each in second.feed.symbols if each.symbol != "AAPL"]
        second.coverage.apply_settings(second.feed.model_copy(update={"symbols": others}), at=nanoseconds(later - 1))
    second.change(later, State.SUBSCRIBING, Acknowledged(("AAPL", "BTC/USD")))
    second.load()

    ((since,),) = rows(database, WANTED)
    assert began - 1 <= since <= ended
    until = later if known else later - 1
    found = [(begin + BEGIN, end) for begin, end, _ in gaps(database, "AAPL") if begin < until]
    assert found == [(pytest.approx(since, abs=1e-3), until)]
    covered = "SELECT max(begins_at) FROM ticks_platform.feed_coverage WHERE ends_at > begins_at"
    assert rows(database, f"{covered} AND begins_at > now() + INTERVAL '10 seconds'") == [(None,)]


def record_wanted(cursor: Any, *times: tuple[int, int]) -> None:
    """Record when AAPL was wanted, in seconds since 1970, each by a later owner."""
    for epoch, (begin, end) in enumerate(times, 1):
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, wanted_until, calendar, epoch, by_server)
            VALUES ('test', 'AAPL', to_timestamp(%s), to_timestamp(%s), 'always', %s, now())
            """,
            (begin, end, epoch),
        )


def test_times_that_overlap_are_dated_one_by_one(database: Database, take_lease: TakeLease) -> None:
    """Owners whose clocks disagreed wanted a symbol again before an earlier time ended, where two would begin."""
    take_lease("first")
    with database.transaction() as cursor:
        record_wanted(cursor, (0, 100), (20, 30), (40, 50))
        for _ in range(2):
            date_wanted(cursor, "test", ["AAPL"], ended=3)
    assert [begin for (begin,) in rows(database, f"{WANTED} ORDER BY 1")] == [0, 40, 100]


def test_a_later_owner_whose_clock_is_behind_dates_no_earlier_one(database: Database, take_lease: TakeLease) -> None:
    take_lease("first")
    with database.transaction() as cursor:
        record_wanted(cursor, (100, 200), (20, 300))
        date_wanted(cursor, "test", ["AAPL"], ended=2)
    assert [begin for (begin,) in rows(database, f"{WANTED} ORDER BY 1")] == [20, 100]


def killed_until(database: Database, end: float | None, *data: float) -> float:
    """When the coverage of a killed owner ends that begins 100 s ago, after data in this order; in seconds from now.

    Without an `end`, nobody has closed it yet, and the first of the data is in the ledger.
    """
    now = time.time()
    moments = [datetime.fromtimestamp(now + each, timezone.utc) for each in data]
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection)
            VALUES ('test', 'AAPL', to_timestamp(%s), to_timestamp(%s), %s, 1, 1)
            """,
            (now - 100, None if end is None else now + end, None if end is None else "killed"),
        )
        if end is None:
            first = moments.pop(0)
            cursor.execute(
                """
                INSERT INTO ticks_platform.feed_ledger
                    (feed, epoch, connection, first_received_at, last_received_at, frames, events, loaded, replaced,
                     duplicate, rejected, control, last_data_at)
                VALUES ('test', 1, 1, %s, %s, 1, 1, 1, 0, 0, 0, 0, %s)
                """,
                (first, first, first),
            )
            killed_coverage.close_abandoned(cursor, "test", until_epoch=1)
        for moment in moments:
            killed_coverage.extend_killed(cursor, "test", [(1, 1, moment)])
    ((ends_at,),) = rows(database, "SELECT extract(epoch FROM ends_at) FROM ticks_platform.feed_coverage")
    return float(ends_at) - now


@pytest.mark.parametrize(
    ("end", "data", "expected"),
    [
        (-100, [-50, -40], -40),
        (-100, [1200], -100),
        (-100, [1200, -50], -50),
        (None, [1200], -100),
        (None, [1200, -50], -50),
        # Long after: that is in the future no longer.
        (-100, [-10, -60], -60),
        (-100, [-50, -1200], -50),
    ],
)
def test_data_by_a_clock_that_was_set_back_covers_nothing_of_what_came_after(
    database: Database, take_lease: TakeLease, end: float | None, data: list[float], expected: float
) -> None:
    """A machine starts with its clock ahead, which is set right a moment later; then it is killed."""
    take_lease("first")
    in_flight = 0.0 if expected == -100 else IN_FLIGHT / 1e9
    assert killed_until(database, end, *data) == pytest.approx(expected - in_flight, abs=0.01)


def test_notes_are_deleted_after_the_commit(
    database: Database, take_lease: TakeLease, owner_of: Callable[[Lease], Owner], tmp_path: Path
) -> None:
    owner = owner_of(take_lease("first"))
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as journal:
        owner.change(1, State.SUBSCRIBING, Acknowledged(("AAPL",)))
        owner.change(2, State.SUBSCRIBING, Acknowledged(("BTC/USD",)))
        assert journal.execute("SELECT count(*) FROM coverage_note").fetchone() == (2,)
        with database.transaction() as cursor:
            owner.loader._renew_lease(cursor)
            owner.change(3, State.BACKING_OFF, until=2.5)
        owner.coverage.committed()
        assert journal.execute("SELECT count(*) FROM coverage_note").fetchone() == (1,)
    owner.journal.close()


def test_a_note_that_cannot_be_written_stops_nothing(
    take_lease: TakeLease, owner_of: Callable[[Lease], Owner], tmp_path: Path
) -> None:
    owner = owner_of(take_lease("first"))
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as journal, journal:
        journal.execute("DROP TABLE coverage_note")
    owner.change(1, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    assert owner.coverage.waiting
    owner.journal.close()
    (tmp_path / "journal.sqlite3").unlink()
    owner.change(2, State.SUBSCRIBING, Acknowledged(("BTC/USD",)))
    assert not (tmp_path / "journal.sqlite3").exists()


def test_a_note_that_could_not_be_written_is_written_once_there_is_room(
    take_lease: TakeLease, owner_of: Callable[[Lease], Owner], tmp_path: Path
) -> None:
    """As on a full disk. The later owner must not cover the time between."""
    path = tmp_path / "journal.sqlite3"
    owner = owner_of(take_lease("first"))

    def refuse(statement: str) -> None:
        with contextlib.closing(sqlite3.connect(path)) as journal, journal:
            journal.execute(statement)

    owner.change(1, State.SUBSCRIBING, Acknowledged(("AAPL",)))
    refuse("CREATE TRIGGER full BEFORE INSERT ON coverage_note BEGIN SELECT raise(FAIL, 'disk is full'); END")
    owner.change(5, State.BACKING_OFF, until=4)
    refuse("DROP TRIGGER full")
    owner.coverage.write_missing_notes()
    owner.coverage.write_missing_notes()
    notes = CoverageNotes(path, epoch=99, journals=[path]).earlier()
    periods = [(each.symbol, each.ends_at is not None) for note in notes for each in note.periods]
    assert periods == [("AAPL", False), ("AAPL", True)]
    owner.journal.close()


def test_an_older_note_does_not_reopen_what_has_ended(database: Database, take_lease: TakeLease) -> None:
    """A copy of the notes may end before what the database knows: the time after the end would seem covered."""
    lease = take_lease("first")
    begin, end, again = ((BEGIN + seconds) * SECOND for seconds in (0, 10, 40))
    with database.transaction() as cursor:
        store_periods(cursor, "test", lease.epoch, [("AAPL", 1, begin, end, "connection lost")])
        store_periods(cursor, "test", lease.epoch, [("AAPL", 1, again, None, None)])
        store_earlier(cursor, "test", lease.epoch, [("AAPL", 1, begin, None, None)])
        store_earlier(cursor, "test", lease.epoch, [("BTC/USD", 1, begin, None, None)])
    found = rows(
        database,
        "SELECT symbol, extract(epoch FROM ends_at - begins_at)::float8 FROM ticks_platform.feed_coverage "
        "ORDER BY symbol, begins_at",
    )
    assert found == [("AAPL", 10.0), ("AAPL", None), ("BTC/USD", None)]
