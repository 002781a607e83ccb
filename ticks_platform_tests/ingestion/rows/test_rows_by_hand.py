"""Rows that are inserted by hand, as the financial-ticks tutorial does it: four columns, in any order, in any way."""

from __future__ import annotations

import io
import random
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2.errors
import pytest
from psycopg2 import sql
from psycopg2.extras import execute_values

from ticks_platform.errors import ActionRequiredError
from ticks_platform.feeds.primary import MANUAL
from ticks_platform.ingestion import lease
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import candles, late_ticks, reconciliation
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.conftest import make_policies
from ticks_platform_tests.support.by_hand import MINUTE, Row, made_of, stored
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows, unbalanced

TODAY = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
THEN = TODAY - timedelta(days=3)


Insert = Callable[[Any, Sequence[Row]], None]
COLUMNS = "time, symbol, price, day_volume"


def in_batches(cursor: Any, given: Sequence[Row]) -> None:
    """As the tutorial's script does it: naive datetimes in UTC, 100 rows a statement."""
    values = [row._replace(time=row.time.replace(tzinfo=None)) for row in given]
    execute_values(cursor, f"INSERT INTO stocks_real_time ({COLUMNS}) VALUES %s", values, page_size=100)


def one_by_one(cursor: Any, given: Sequence[Row]) -> None:
    cursor.executemany(f"INSERT INTO stocks_real_time ({COLUMNS}) VALUES (%s, %s, %s, %s)", given)


def by_copy(cursor: Any, given: Sequence[Row]) -> None:
    lines = "".join(f"{row.time.isoformat()},{row.symbol},{row.price},{row.day_volume or ''}\n" for row in given)
    cursor.copy_expert(f"COPY stocks_real_time ({COLUMNS}) FROM STDIN (FORMAT csv)", io.StringIO(lines))


WAYS = (in_batches, *(pytest.param(way, marks=pytest.mark.full) for way in (one_by_one, by_copy)))


def refresh(database: Database, begin: datetime, end: datetime) -> None:
    with database.autocommit() as cursor:
        for candle in CANDLES:
            candles.refresh(cursor, candle, begin, end)


def execute(database: Database, statement: str, parameters: Any = None) -> None:
    with database.transaction() as cursor:
        cursor.execute(statement, parameters)


def insert(database: Database, given: Sequence[Row], way: Insert = in_batches) -> None:
    with database.transaction() as cursor:
        cursor.execute("SET LOCAL timezone = 'UTC'")
        way(cursor, given)


def history(number: int, *, seed: int = 1, seconds: int = 600) -> list[Row]:
    """Rows of whole seconds, of which many share one, in order of time."""
    chance = random.Random(seed)
    times = sorted(chance.randrange(seconds) for _ in range(number))
    return [
        Row(THEN + timedelta(hours=10, seconds=at), chance.choice("AB"), 100 + place / 7, place if place % 3 else None)
        for place, at in enumerate(times)
    ]


@pytest.mark.parametrize("way", WAYS)
def test_candles_are_right_in_any_order(database: Database, way: Insert) -> None:
    given = history(90)
    arrived = [given, given[::-1], random.Random(2).sample(given, len(given))]
    for number, order in enumerate(arrived):
        # Each order is that of symbols of its own.
        arrived[number] = [row._replace(symbol=row.symbol + str(number)) for row in order]
        insert(database, arrived[number], way)
    refresh(database, THEN, TODAY)
    everything = [row for order in arrived for row in order]
    assert stored(database) == made_of(everything, MINUTE)
    assert stored(database, "one_hour_candle") == made_of(everything, timedelta(hours=1))
    ((ids, distinct, feeds),) = rows(
        database, "SELECT count(*), count(DISTINCT tick_id), array_agg(DISTINCT feed) FROM stocks_real_time"
    )
    assert (ids, distinct, feeds) == (270, 270, [MANUAL])
    assert {uuid.UUID(tick_id).version for (tick_id,) in rows(database, "SELECT tick_id FROM stocks_real_time")} == {8}


@pytest.mark.full
def test_pandas_writes_them(database: Database) -> None:
    pandas = pytest.importorskip("pandas")
    sqlalchemy = pytest.importorskip("sqlalchemy")
    given = history(50)
    engine = sqlalchemy.create_engine(database.url(), poolclass=sqlalchemy.pool.NullPool)
    pandas.DataFrame(given).to_sql("stocks_real_time", engine, if_exists="append", index=False)
    engine.dispose()
    refresh(database, THEN, TODAY)
    assert stored(database) == made_of(given, MINUTE)


@pytest.mark.parametrize("compressed", [False, pytest.param(True, marks=pytest.mark.full)])
def test_other_statements(database: Database, compressed: bool) -> None:
    """ON CONFLICT, DEFAULT in place of a value, RETURNING; a NULL in place of the id is refused."""
    at = THEN + timedelta(hours=10)
    insert(database, [Row(at + timedelta(seconds=1), "A", 1.0, 1)])
    if compressed:
        execute(database, "SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
    start = f"INSERT INTO stocks_real_time ({COLUMNS}"
    execute(database, f"{start}) VALUES (%s, 'A', 1, 1) ON CONFLICT DO NOTHING", (at + timedelta(seconds=1),))
    execute(
        database,
        f"{start}, tick_id, feed, received_at) VALUES (%s, 'A', 2, 2, DEFAULT, DEFAULT, DEFAULT)",
        (at + timedelta(seconds=3),),
    )
    with database.transaction() as cursor:
        cursor.execute(f"{start}) VALUES (%s, 'A', 0.5, NULL) RETURNING feed", (at,))
        assert cursor.fetchall() == [(MANUAL,)]
    with pytest.raises(psycopg2.errors.NotNullViolation, match="tick_id"):
        execute(database, f"{start}, tick_id) VALUES (%s, 'A', 1, 1, NULL)", (at,))
    refresh(database, THEN, TODAY)
    assert stored(database)[at, "A"] == (0.5, 2, 0.5, 2, 2, None, 4)


def test_compressed_rows_and_a_feeds_ticks_have_one_order(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    at = THEN + timedelta(hours=10)
    make_loader(
        take_lease("one"), [price("A", timestamp=int(at.timestamp()) + second, price=10 + second) for second in (5, 20)]
    ).run()
    insert(database, [Row(at + timedelta(seconds=second), "A", 10 + second, None) for second in (59, 10, 1, 30)])
    execute(database, "SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
    insert(database, [Row(at, "A", 10.0, 3)])
    refresh(database, THEN, TODAY)
    assert stored(database)[at, "A"][:5] == (10, 69, 10, 69, 7)
    ((answer,),) = rows(database, f"SELECT explain_candle('A', '{at}')")
    assert answer["differs_from_its_ticks"] == []
    assert {each["feed"]: each["ticks"] for each in answer["feeds"]} == {"test": 2, MANUAL: 5}
    assert answer["prices"]["open"]["feed"] == MANUAL


def test_a_row_without_a_price_changes_volume_alone(database: Database) -> None:
    """The tutorial's table has them, and a minute's first and last one must not take its prices away."""
    at = THEN + timedelta(hours=10)
    given = [(1, None, 5), (2, 10, None), (3, 11, 7), (4, None, None), (61, None, 9)]
    values = [(at + timedelta(seconds=second), "A", price, volume) for second, price, volume in given]
    with database.transaction() as cursor:
        execute_values(cursor, f"INSERT INTO stocks_real_time ({COLUMNS}) VALUES %s", values)
    refresh(database, THEN, TODAY)
    minutes = {at: (10, 11, 10, 11, 7, None, 4), at + MINUTE: (None, None, None, None, 9, None, 1)}
    assert stored(database) == {(bucket, "A"): candle for bucket, candle in minutes.items()}
    assert stored(database, "one_hour_candle") == {(at, "A"): (10, 11, 10, 11, 9, None, 5)}
    columns = "open, high, low, close, day_volume, volume, tick_count"
    query = f"SELECT bucket, {columns} FROM candles_as_of('A', '1 minute', '{at}', '{at + timedelta(hours=1)}', now())"
    assert {bucket: tuple(candle) for bucket, *candle in rows(database, query)} == minutes
    with database.transaction() as cursor:
        recomputed = sql_files.compose("queries/checks/candles_equal_ticks.sql")
        compared = sql_files.compose(
            "queries/checks/candles_compared.sql", candle=sql.Identifier("one_minute_candle"), recomputed=recomputed
        )
        cursor.execute(compared, {"width": MINUTE, "begin": at, "end": at + timedelta(hours=1)})
        assert cursor.fetchone()[:2] == (2, 0)
    for width, answer in (("1 minute", (2, "candle")), ("1 hour", (2, "candle"))):
        ((explained,),) = rows(database, f"SELECT explain_candle('A', '{at}', '{width}')")
        assert explained["differs_from_its_ticks"] == explained["left_out"] == []
        assert (explained["recomputed"]["price_count"], explained["answer"]) == answer
        assert explained["prices"]["open"]["price"] == 10
    ((explained,),) = rows(database, f"SELECT explain_candle('A', '{at + MINUTE}')")
    assert (explained["answer"], explained["differs_from_its_ticks"]) == ("no_price", [])


def test_the_order_is_that_of_a_feeds_id(database: Database) -> None:
    for at in (THEN + timedelta(microseconds=number * 104_729) for number in range(50)):
        ((same,),) = rows(
            database,
            f"""
            SELECT left(ticks_platform.tick_order('{at}', ticks_platform.manual_tick_id())::text, 18) =
                left((lpad(to_hex({round(at.timestamp() * 1e6)} / 1000), 12, '0') || '7'
                    || lpad(to_hex({round(at.timestamp() * 1e6)} % 1000 * 4096 / 1000), 3, '0')
                    || '8000000000000000')::uuid::text, 18)
            """,
        )
        assert same
    feeds_id = "'0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee'::uuid"
    ((kept,),) = rows(database, f"SELECT ticks_platform.tick_order(now(), {feeds_id}) = {feeds_id}")
    assert kept


def test_the_account_names_them_and_does_not_judge(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    now = int((THEN + timedelta(hours=10)).timestamp())
    make_loader(take_lease("one"), [price("A", timestamp=now + second) for second in range(3)]).run()
    insert(database, history(20))
    assert unbalanced(database) == []
    # In the name of a feed of ours they are a fault.
    execute(
        database,
        "INSERT INTO stocks_real_time (time, symbol, price, feed) VALUES (%s, 'A', 1, 'test')",
        (THEN + timedelta(hours=10),),
    )
    assert any("3 events loaded" in problem and "but 4 rows" in problem for problem in unbalanced(database))


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_first_feed_says_whether_they_are_synthetic(database: Database, synthetic: bool) -> None:
    insert(database, history(5))
    execute(database, "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('manual', 'manual', false)")
    with database.transaction() as cursor:
        lease.register_feed(cursor, feed="first", provider="twelve_data", synthetic=synthetic, candles=True)
    assert rows(database, "SELECT DISTINCT synthetic FROM ticks_platform.feed") == [(synthetic,)]
    with database.transaction() as cursor, pytest.raises(ActionRequiredError, match="first"):
        lease.register_feed(cursor, feed="second", provider="twelve_data", synthetic=not synthetic, candles=True)


class TestLate:
    """Rows that are older than the windows of the refresh policies."""

    @pytest.fixture
    def refreshed(self, database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Database:
        """A database with policies, a feed's ticks of three hours of a past day, and candles that have them."""
        with database.transaction() as cursor:
            make_policies(cursor)
        at = int((THEN + timedelta(hours=9)).timestamp())
        make_loader(take_lease("one"), [price("A", timestamp=at + 600 * step, price=50) for step in range(18)]).run()
        with database.autocommit() as cursor:
            late_ticks.refresh(cursor)
        assert self.late(database) == 0
        return database

    def late(self, database: Database) -> int:
        with database.transaction() as cursor:
            found = late_ticks.find(cursor)
        return len(found.hours) + len(found.days)

    def catch_up(self, database: Database) -> None:
        """Refreshes what is late: then all candles are those of the ticks, and nothing is late."""
        with database.autocommit() as cursor:
            found = late_ticks.refresh(cursor)
            assert found.hours
            assert found.days
        assert self.late(database) == 0
        for candle, width in zip(CANDLES, (MINUTE, timedelta(hours=1), timedelta(days=1)), strict=True):
            query = """
                SELECT time, symbol, price, day_volume FROM stocks_real_time
                ORDER BY ticks_platform.tick_order(time, tick_id)
            """
            truth = made_of([Row(*row) for row in rows(database, query)], width)
            assert stored(database, candle.name) == truth

    def test_inserted_changed_deleted(self, refreshed: Database) -> None:
        insert(refreshed, history(50)[::-1])
        self.catch_up(refreshed)
        execute(refreshed, "UPDATE stocks_real_time SET price = price + 1 WHERE feed = 'manual' AND symbol = 'B'")
        self.catch_up(refreshed)
        execute(refreshed, "DELETE FROM stocks_real_time WHERE feed = 'manual'")
        self.catch_up(refreshed)

    @pytest.mark.full
    @pytest.mark.parametrize("way", [in_batches, one_by_one])
    def test_through_a_trigger_of_ones_own(self, refreshed: Database, way: Insert) -> None:
        """By INSERT, since TimescaleDB 2.29.2 does not note what COPY adds through a trigger."""
        execute(
            refreshed,
            "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN NEW.symbol := upper(NEW.symbol); RETURN NEW; END$$;"
            "CREATE TRIGGER own BEFORE INSERT ON stocks_real_time FOR EACH ROW EXECUTE FUNCTION own()",
        )
        try:
            insert(refreshed, [row._replace(symbol=row.symbol.lower()) for row in history(200)[::-1]], way)
            self.catch_up(refreshed)
            assert {symbol for _, symbol in stored(refreshed)} == {"A", "B"}
        finally:
            execute(refreshed, "DROP FUNCTION own CASCADE")

    @pytest.mark.full
    def test_before_every_chunk(self, refreshed: Database) -> None:
        insert(refreshed, [row._replace(time=row.time - timedelta(days=400)) for row in history(50)])
        self.catch_up(refreshed)

    @pytest.mark.full
    def test_in_the_columnstore(self, refreshed: Database) -> None:
        insert(refreshed, history(50))
        self.catch_up(refreshed)
        execute(refreshed, "SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
        execute(refreshed, "DELETE FROM stocks_real_time WHERE feed = 'manual' AND symbol = 'A'")
        insert(refreshed, [row._replace(symbol="C") for row in history(50)])
        self.catch_up(refreshed)

    @pytest.mark.full
    def test_late_ticks_of_a_feed_alone_ask_for_no_more(
        self, refreshed: Database, take_lease: TakeLease, make_loader: LoaderOf
    ) -> None:
        """One batch with two late ticks marks all the time between them as changed."""
        insert(refreshed, [Row(THEN - timedelta(days=1), "A", 1.0, None)])
        self.catch_up(refreshed)
        at = int((THEN + timedelta(hours=9)).timestamp())
        make_loader(take_lease("two"), [price("A", timestamp=at + step) for step in (1, 7_201)]).run()
        with refreshed.transaction() as cursor:
            hours = late_ticks.find(cursor).hours
        assert [hour.begin for hour in hours] == [THEN + timedelta(hours=9), THEN + timedelta(hours=11)]


@pytest.mark.full
def test_reconciliation_agrees(database: Database) -> None:
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    begin = now - timedelta(minutes=30)
    given = [Row(begin + timedelta(seconds=second), "A", 100 + second, second) for second in range(0, 1200, 7)]
    insert(database, given[::-1])
    refresh(database, begin, now)
    with database.autocommit() as cursor:
        assert reconciliation.reconcile(cursor).wrong.differing == 0
    assert stored(database) == made_of(given, MINUTE)
