"""A loader and the errors of its database, by what they mean: bad data, too much at once, or a server that is away."""

from __future__ import annotations

import random
import string
import threading
import time
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from ticks_platform.feeds.events import Acknowledged
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion import loader as loading
from ticks_platform.ingestion import statement_watch
from ticks_platform.ingestion.loader import Loader
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform.timescale.failures import Meaning, meaning
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, price, rows, trade, unbalanced

POISON = "".join(random.Random(15).choices(string.ascii_letters + string.digits, k=3000))
"""Text that no index can hold."""

Trouble = Callable[[str, str], None]


@pytest.fixture
def on_insert(database: Database) -> Iterator[Trouble]:
    """Gives a table a trigger with this body, as users do."""
    tables = []

    def create(table: str, body: str, timing: str = "TRIGGER trouble BEFORE INSERT ON {} FOR EACH ROW") -> None:
        tables.append(table)
        with database.transaction() as cursor:
            cursor.execute(
                f"CREATE FUNCTION trouble{len(tables)}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$BEGIN {body} RETURN NEW; END$$"
            )
            cursor.execute(f"CREATE {timing.format(table)} EXECUTE FUNCTION trouble{len(tables)}()")

    yield create
    with database.transaction() as cursor:
        for number, table in enumerate(tables, 1):
            cursor.execute(f"DROP TRIGGER IF EXISTS trouble ON {table}")
            cursor.execute(f"DROP FUNCTION trouble{number}() CASCADE")


def fail(code: str, condition: str = "NEW.symbol = 'BAD'") -> str:
    return f"IF {condition} THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '{code}'; END IF;"


def rejected(database: Database) -> list[tuple[str]]:
    return rows(database, "SELECT reason FROM ticks_platform.rejected_event")  # type: ignore[return-value]


def run_until(loader: Loader, condition: Callable[[], object]) -> None:
    """Run a loader until the condition holds, and end it."""
    thread = threading.Thread(target=loader.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, loader.trouble
            thread.join(0.02)
    finally:
        loader.abandon()
        thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseUnavailableError("gone"), Meaning.AWAY),
        (psycopg2.OperationalError("server closed the connection unexpectedly"), Meaning.AWAY),
        (psycopg2.ProgrammingError("can't adapt type 'dict'"), Meaning.DATA),
        (UnicodeEncodeError("latin-1", "\u2019", 0, 1, "no"), Meaning.DATA),
        (MemoryError(), Meaning.UNCLEAR),
        (KeyError("nobody thought of it"), Meaning.UNCLEAR),
    ],
)
def test_errors_without_a_code(error: Exception, expected: Meaning) -> None:
    assert meaning(error) is expected


def test_a_symbol_that_no_index_can_hold_is_one_rejected_event(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    loader = make_loader(take_lease("one"), [price(), price(symbol=POISON), price(), price(symbol="MSFT")])
    loader.record(Change(State.STREAMING, time.time_ns(), 1, "", Acknowledged(("AAPL", POISON))))
    loader.run()
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(3,)]
    ((reason,),) = rejected(database)
    assert "exceeds" in reason
    assert rows(database, "SELECT channel FROM ticks_platform.feed_channel") == [("AAPL",)]
    assert unbalanced(database) == []


@pytest.mark.parametrize(
    "code",
    [
        "57014",
        "XX000",
        *(
            pytest.param(code, marks=pytest.mark.full)
            for code in ("53400", "54000", "42501", "0A000", "UE001", "P0001")
        ),
    ],
)
def test_a_tick_that_fails_where_others_pass_is_rejected(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, on_insert: Trouble, code: str
) -> None:
    on_insert("stocks_real_time", fail(code))
    frames = [price() for _ in range(20)]
    frames[7] = frames[13] = price(symbol="BAD")
    loader = make_loader(take_lease("one"), frames)
    loader.run()
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(18,)]
    assert rejected(database) == [("not this one",)] * 2
    assert unbalanced(database) == []


@pytest.mark.parametrize("code", ["42501", pytest.param("57014", marks=pytest.mark.full)])
def test_a_tick_that_is_alone_is_compared_with_those_that_are_stored(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, on_insert: Trouble, code: str
) -> None:
    make_loader(take_lease("one"), [price()]).run()
    on_insert("stocks_real_time", fail(code))
    make_loader(take_lease("two"), [price(symbol="BAD")]).run()
    assert rejected(database) == [("not this one",)]
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(1,)], "the comparison leaves nothing"


def test_ticks_wait_while_their_table_takes_nothing(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, on_insert: Trouble
) -> None:
    make_loader(take_lease("one"), [price()]).run()
    on_insert("stocks_real_time", fail("42501", "true"))
    loader = make_loader(take_lease("two"), [price() for _ in range(40)])
    run_until(loader, lambda: loader.metrics.retries > 7)
    assert rejected(database) == []
    with database.transaction() as cursor:
        cursor.execute("DROP TRIGGER trouble ON stocks_real_time")
    make_loader(take_lease("three"), []).run()
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(41,)]
    assert unbalanced(database) == []


@pytest.mark.parametrize("code", ["57014", pytest.param("53400", marks=pytest.mark.full)])
def test_a_batch_that_is_too_much_is_halved_until_it_passes(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, on_insert: Trouble, code: str
) -> None:
    on_insert(
        "stocks_real_time",
        "PERFORM set_config('trouble.rows', (coalesce(nullif(current_setting('trouble.rows', true), ''), '0')::int + 1)"
        f"::text, true); {fail(code, '''current_setting('trouble.rows')::int > 40''')}",
    )
    loader = make_loader(take_lease("one"), [price(price=float(number)) for number in range(1, 301)])
    loader.run()
    assert rows(database, "SELECT count(*), sum(price) FROM stocks_real_time") == [(300, 45150.0)]
    assert rows(database, "SELECT frames FROM ticks_platform.feed_checkpoint") == [(300,)]
    assert rejected(database) == []
    assert loader.trouble is None
    assert loader._batch_bytes < loading.MAX_BATCH_BYTES
    assert unbalanced(database) == []


def test_an_end_between_two_halves_loses_and_doubles_nothing(
    database: Database,
    take_lease: TakeLease,
    make_loader: LoaderOf,
    on_insert: Trouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trades with ids, some of them sent twice: in one half, and in both."""
    on_insert("stocks_real_time", fail("57014", "NEW.symbol = 'BAD'"))
    now = time.time()
    frames = [frame(trade(str(number % 70), at=now)) for number in range(100)]
    frames[90] = frame(trade("x", at=now, symbol="BAD"))
    loader = make_loader(take_lease("one"), frames, polygon_events.decode)
    commit = loader._commit
    committed = []

    def end_after_one(*arguments: object) -> None:
        if committed:
            raise KeyboardInterrupt
        commit(*arguments)  # type: ignore[arg-type]
        committed.append(arguments)

    monkeypatch.setattr(loader, "_commit", end_after_one)
    with pytest.raises(KeyboardInterrupt):
        loader.run()
    (frames_committed,) = rows(database, "SELECT frames FROM ticks_platform.feed_checkpoint")[0]
    assert 0 < frames_committed < 100
    make_loader(take_lease("two"), [], polygon_events.decode).run()
    assert rows(database, "SELECT count(*), count(DISTINCT trade_id) FROM stocks_real_time") == [(70, 70)]
    assert rows(database, "SELECT sum(duplicate), sum(rejected) FROM ticks_platform.feed_ledger") == [(29, 1)]
    assert unbalanced(database) == []


def test_a_constraint_that_is_checked_at_the_commit_finds_its_tick(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "CREATE TABLE allowed (symbol text PRIMARY KEY); INSERT INTO allowed VALUES ('AAPL');"
            "ALTER TABLE stocks_real_time ADD CONSTRAINT is_allowed FOREIGN KEY (symbol) REFERENCES allowed "
            "DEFERRABLE INITIALLY DEFERRED"
        )
    try:
        make_loader(take_lease("one"), [price(), price(symbol="BAD"), price()]).run()
    finally:
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE stocks_real_time DROP CONSTRAINT is_allowed; DROP TABLE allowed")
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(2,)]
    ((reason,),) = rejected(database)
    assert "foreign key" in reason


@pytest.mark.full
def test_tables_beside_the_ticks_do_not_hold_them_up(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, on_insert: Trouble
) -> None:
    on_insert("stock_quotes", fail("42501", "true"))
    on_insert("stock_aggregates", fail("53400"))
    on_insert("ticks_platform.feed_session", fail("XX000", "true"))
    now = round(time.time() * 1000)
    quote = {"ev": "Q", "sym": "AAPL", "bp": 1.0, "ap": 2.0, "t": now}
    bar = {"ev": "A", "s": now - 2000, "e": now - 1000, "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}
    loader = make_loader(
        take_lease("one"),
        [
            frame(trade("1", at=now / 1000), *[quote] * 60, {**bar, "sym": "BAD"}, {**bar, "sym": "AAPL"}),
            frame(trade("2", at=now / 1000), quote),
        ],
        polygon_events.decode,
    )
    loader.record(Change(State.STREAMING, time.time_ns(), 1, "streaming"))
    loader.run()
    assert (loader.metrics.loaded, loader.metrics.rejected) == (3, 62)
    assert rows(database, "SELECT symbol FROM stock_aggregates") == [("AAPL",)]
    assert set(rejected(database)) == {("not this one",)}
    assert unbalanced(database) == []


def test_a_statement_without_an_answer_is_told_while_it_has_none(
    database: Database,
    take_lease: TakeLease,
    make_loader: LoaderOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(statement_watch, "LONG", 0.3)
    monkeypatch.setattr(statement_watch, "_CHECK_INTERVAL", 0.05)
    loader = make_loader(take_lease("one"), [price()])
    thread = threading.Thread(target=loader.run)
    with database.transaction() as cursor:
        cursor.execute("LOCK TABLE stocks_real_time")
        thread.start()
        deadline = time.monotonic() + 60
        while "no answer" not in caplog.text and time.monotonic() < deadline:
            thread.join(0.02)
        assert "no answer for" in (loader.trouble or "")
    thread.join(60)
    assert loader.trouble is None
    assert loader.metrics.loaded == 1
