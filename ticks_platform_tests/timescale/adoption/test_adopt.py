"""The tutorial's tables become the platform's, with all of their rows."""

from __future__ import annotations

import pytest

from ticks_platform.defs.common.bring_up import OBJECTS
from ticks_platform.timescale.adoption import relations
from ticks_platform.timescale.adoption.adopt import AdoptionRefusedError
from ticks_platform.timescale.adoption.plan import plan
from ticks_platform.timescale.candles import rebuild
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.tutorial import COMPANY, ROWS, TABLE, Tutorial


def test_the_tutorials_tables_are_adopted(tutorial: Tutorial) -> None:
    """Ticks, company and candle; a second adoption finds nothing."""
    before = tutorial.rows()
    order = tutorial.ask("SELECT time, symbol, price FROM stocks_real_time ORDER BY time, tableoid, ctid")
    done = tutorial.adopt()
    assert done.ticks is not None
    assert done.ticks.rows == 2000
    assert tutorial.rows() == before
    assert tutorial.ask("SELECT time, symbol, price FROM stocks_real_time ORDER BY tick_id") == order
    assert tutorial.ask(
        "SELECT DISTINCT feed, received_at = time, updates IS NULL, pg_typeof(day_volume)::text FROM stocks_real_time"
    ) == [("manual", True, True, "double precision")]
    assert tutorial.ask("SELECT count(DISTINCT tick_id) FROM stocks_real_time") == [(2000,)]
    assert tutorial.ask(
        "SELECT time_interval::text FROM timescaledb_information.dimensions WHERE hypertable_name = 'stocks_real_time'"
    ) == [("1 day",)]
    assert tutorial.ask("SELECT to_regclass('ix_symbol_time') IS NOT NULL") == [(True,)]
    assert tutorial.ask("SELECT symbol, name FROM company ORDER BY 1") == [
        ("AAPL", "Apple Inc"),
        ("BTC/USD", "Bitcoin"),
    ]
    assert any("OLD" in note for note in done.notes)
    candles = tutorial.ask(
        "SELECT bucket, symbol, open, close, tick_count FROM one_hour_candle WHERE symbol = 'AAPL' "
        "ORDER BY bucket LIMIT 2"
    )
    assert [row[2:] for row in candles] == [(100.1, 111.1, 3), (101.1, 112.1, 3)]
    assert tutorial.ask("SELECT ticks FROM ticks_platform.adoption") == [(2000,)]
    assert tutorial.adopt().is_empty
    with tutorial.database.transaction() as cursor:
        relations.require_own_tables(cursor)


OWN = (
    "ALTER TABLE stocks_real_time ADD COLUMN note text DEFAULT 'mine', ADD COLUMN exchange text",
    "UPDATE stocks_real_time SET exchange = 'X' WHERE symbol = 'OLD'",
    "ALTER TABLE stocks_real_time SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol')",
    "SELECT add_compression_policy('stocks_real_time', INTERVAL '2 weeks')",
    "SELECT add_retention_policy('stocks_real_time', INTERVAL '1 month')",
    "CREATE VIEW heights WITH (security_barrier) AS "
    "SELECT symbol, max(day_volume) AS height FROM stocks_real_time GROUP BY 1",
    "CREATE VIEW top AS SELECT max(height) FROM heights",
    "COMMENT ON VIEW heights IS 'of mine'",
    "CREATE ROLE adoption_reader",
    "GRANT SELECT ON stocks_real_time, heights, one_hour_candle TO adoption_reader",
    "CREATE FUNCTION upper_symbol() RETURNS trigger LANGUAGE plpgsql AS "
    "$$BEGIN NEW.symbol := upper(NEW.symbol); RETURN NEW; END$$",
    "CREATE TRIGGER upper_symbol BEFORE INSERT ON stocks_real_time FOR EACH ROW EXECUTE FUNCTION upper_symbol()",
    "SELECT compress_chunk(c) FROM show_chunks('stocks_real_time', older_than => '2026-10-16'::timestamptz) AS c",
)
GONE = (
    "DROP OWNED BY adoption_reader",
    "DROP ROLE adoption_reader",
    "DROP FUNCTION upper_symbol CASCADE",
)
COMPRESSED = (
    "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'stocks_real_time' AND is_compressed"
)


def privileges(tutorial: Tutorial) -> list[tuple[object, ...]]:
    return tutorial.ask(
        "SELECT name, has_table_privilege('adoption_reader', name, 'SELECT') "
        "FROM unnest(ARRAY['heights', 'one_hour_candle', 'stocks_real_time']) AS name"
    )


@pytest.mark.full
def test_what_users_have_added_stays(tutorial: Tutorial) -> None:
    """Columns, views, privileges, a trigger, compressed chunks with their settings; candles without ticks are kept."""
    tutorial.run(*OWN)
    tutorial.run("SELECT drop_chunks('stocks_real_time', older_than => '2026-10-08'::timestamptz)")
    try:
        before, compressed = tutorial.rows(), tutorial.ask(COMPRESSED)
        heights = tutorial.ask("SELECT * FROM heights ORDER BY 1")
        without = tutorial.ask("SELECT * FROM one_hour_candle WHERE bucket < '2026-10-08' ORDER BY bucket, symbol")
        assert compressed[0][0] > 0
        assert without
        with tutorial.database.transaction() as cursor:
            planned = plan(cursor, keep_candles=False, symbols=None)
        structure = tutorial.structure()
        done = tutorial.adopt()
        assert planned == done._replace(notes=planned.notes)
        assert structure != tutorial.structure()
        assert tutorial.rows() == before
        assert tutorial.ask(COMPRESSED) == compressed
        assert tutorial.ask("SELECT * FROM heights ORDER BY 1") == heights
        assert tutorial.ask("SELECT * FROM top") == [(max(height for _, height in heights if height),)]
        assert tutorial.ask(
            "SELECT obj_description('heights'::regclass), reloptions::text FROM pg_class WHERE relname = 'heights'"
        ) == [("of mine", "{security_barrier=true}")]
        assert all(granted for _, granted in privileges(tutorial))
        assert tutorial.ask("SELECT DISTINCT note, exchange FROM stocks_real_time ORDER BY 2") == [
            ("mine", "X"),
            ("mine", None),
        ]
        assert tutorial.ask("SELECT * FROM one_hour_candle_without_ticks ORDER BY bucket, symbol") == without
        assert tutorial.ask(
            "SELECT segmentby_column_index FROM timescaledb_information.compression_settings "
            "WHERE hypertable_name = 'stocks_real_time' AND attname = 'symbol'"
        ) == [(1,)]
        notes = " ".join(done.notes)
        assert all(word in notes for word in ("note", "upper_symbol", "policy_retention", "policy_compression", "OLD"))
    finally:
        tutorial.run(*GONE)


@pytest.mark.full
def test_constraints_of_ones_own_are_told(tutorial: Tutorial) -> None:
    """Of a symbol that is in company, and of prices above zero, which those of a future may not be."""
    tutorial.run(
        "DELETE FROM company",
        "ALTER TABLE company ADD PRIMARY KEY (symbol)",
        "INSERT INTO company VALUES ('AAPL', 'Apple'), ('BTC/USD', 'Bitcoin'), ('OLD', 'Old')",
        "ALTER TABLE stocks_real_time ADD FOREIGN KEY (symbol) REFERENCES company, "
        "ADD CONSTRAINT above_zero CHECK (price > 0)",
    )
    before = tutorial.rows()
    (note,) = [note for note in tutorial.adopt().notes if note.startswith("constraints")]
    assert "above_zero: CHECK ((price > (0)::double precision)); stocks_real_time_symbol_fkey: FOREIGN KEY" in note
    assert "events that violate one are rejected" in note
    assert tutorial.rows() == before


@pytest.mark.full
@pytest.mark.parametrize("keep", [False, True])
def test_candles_of_days_that_are_made_of_hours(tutorial: Tutorial, keep: bool) -> None:
    tutorial.run(
        "CREATE MATERIALIZED VIEW one_day_candle WITH (timescaledb.continuous) AS "
        "SELECT time_bucket('1 day', bucket) AS bucket, symbol, first(open, bucket) AS open, max(high) AS high, "
        "min(low) AS low, last(close, bucket) AS close, last(day_volume, bucket) AS day_volume "
        "FROM one_hour_candle GROUP BY 1, 2"
    )
    before = tutorial.rows()
    tutorial.adopt(keep=keep)
    assert tutorial.rows() == before
    for candle in CANDLES:
        assert tutorial.ask(f"SELECT sum(tick_count)::int FROM {candle.name}") == [(2000,)]
    if keep:
        assert tutorial.ask("SELECT count(*) > 0 FROM one_day_candle_tutorial") == [(True,)]


@pytest.mark.full
def test_candles_are_kept_under_another_name(tutorial: Tutorial) -> None:
    """They go on with their policy; what reads day_volume as a whole number finds it, also of new ticks."""
    tutorial.run("CREATE VIEW latest AS SELECT symbol, max(bucket) FROM one_hour_candle GROUP BY 1")
    with pytest.raises(
        AdoptionRefusedError, match=r"latest read one_hour_candle: use --candles keep.*Nothing was changed"
    ):
        tutorial.adopt()
    before = tutorial.rows()
    candles = tutorial.ask("SELECT * FROM one_hour_candle ORDER BY bucket, symbol")
    tutorial.adopt(keep=True)
    assert tutorial.rows() == before
    assert tutorial.ask("SELECT * FROM one_hour_candle_tutorial ORDER BY bucket, symbol") == candles
    assert tutorial.ask("SELECT count(*) FROM latest") == [(3,)]
    tutorial.run(
        "INSERT INTO stocks_real_time (time, symbol, price, day_volume, tick_id, feed, received_at) VALUES "
        "('2026-10-20', 'AAPL', 1, 7.5, gen_random_uuid(), 'x', now()), "
        "('2026-10-20', 'BTC/USD', 1, 1e12, gen_random_uuid(), 'x', now())",
        "CALL refresh_continuous_aggregate('one_hour_candle_tutorial', '2026-10-19', '2026-10-21')",
    )
    assert tutorial.ask(
        "SELECT symbol, day_volume FROM one_hour_candle_tutorial WHERE bucket > '2026-10-19' ORDER BY 1"
    ) == [("AAPL", 8), ("BTC/USD", None)]
    assert tutorial.ask(
        "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'"
    ) == [(1,)]
    assert tutorial.adopt().is_empty


@pytest.mark.full
def test_a_plain_table_is_adopted(without_tables: Tutorial) -> None:
    """It becomes a hypertable; rows keep the order in which they lie. Fractions and empty prices are allowed."""
    without_tables.run(
        TABLE.split(";")[0].replace("INT NULL", "NUMERIC"),
        "INSERT INTO stocks_real_time VALUES ('2026-10-05', 'a', 3, 0.75), ('2026-10-05', 'a', 1, NULL), "
        "('2026-10-05', 'a', NULL, 2), ('2026-10-04', 'a', 9, NULL)",
    )
    before = without_tables.rows()
    without_tables.adopt()
    assert without_tables.rows() == before
    assert without_tables.ask("SELECT price, day_volume, updates FROM stocks_real_time ORDER BY tick_id") == [
        (9, None, None),
        (3, 0.75, None),
        (1, None, None),
        (None, 2, 4),
    ]
    assert without_tables.ask("SELECT open, close, day_volume FROM one_minute_candle WHERE bucket = '2026-10-05'") == [
        (3, 1, 2)
    ]


@pytest.mark.full
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ALTER TABLE stocks_real_time ADD UNIQUE (symbol, time)", r"one row of a time stamp.*DROP CONSTRAINT"),
        ("CREATE UNIQUE INDEX own ON stocks_real_time (time, symbol, price)", r"DROP INDEX own"),
        ("ALTER TABLE stocks_real_time ADD COLUMN feed text", r"RENAME COLUMN feed TO own_feed"),
        ("ALTER TABLE stocks_real_time ADD COLUMN size int", r"size is integer.*RENAME COLUMN size"),
        ("ALTER TABLE stocks_real_time ADD own int NOT NULL DEFAULT 1; "
         "ALTER TABLE stocks_real_time ALTER own DROP DEFAULT", r"own needs a value.*default.*DROP NOT NULL"),
        ("ALTER TABLE stocks_real_time ALTER price SET NOT NULL", r"price may not be empty"),
        ("ALTER TABLE stocks_real_time ENABLE ROW LEVEL SECURITY", r"row security.*DISABLE ROW LEVEL SECURITY"),
        ("INSERT INTO stocks_real_time VALUES (now() + INTERVAL '4 hours', 'A', 1)", r"1 rows.*future.*time zone"),
        ("INSERT INTO stocks_real_time VALUES ('1970-01-01', 'A', 1, 1)", r"1 rows.*before 1990"),
        ("ALTER TABLE company ADD id int NOT NULL DEFAULT 1; ALTER TABLE company ALTER id DROP DEFAULT",
         r"company\.id needs a value"),
        ("ALTER TABLE company ALTER symbol DROP NOT NULL; INSERT INTO company VALUES (NULL, 'x')", r"have no symbol"),
        ("ALTER TABLE company RENAME COLUMN name TO full_name", r"company: rename it with ALTER TABLE company RENAME"),
        ("CREATE VIEW one_minute_candle AS SELECT 1 AS bucket", r"rename it with ALTER VIEW one_minute_candle RENAME"),
        ("CREATE TABLE stock_quotes (id int)", r"ALTER TABLE stock_quotes RENAME TO own_stock_quotes"),
    ],
)  # fmt: skip
def test_what_cannot_be_adopted_is_refused(tutorial: Tutorial, statement: str, message: str) -> None:
    """In words that say what to do, and nothing is changed."""
    tutorial.run(statement)
    rows, structure = tutorial.rows(), tutorial.structure()
    with pytest.raises(AdoptionRefusedError, match=rf"(?s){message}.*Nothing was changed"):
        tutorial.adopt()
    assert tutorial.rows() == rows
    assert tutorial.structure() == structure
    with tutorial.database.transaction() as cursor:
        assert plan(cursor, keep_candles=False, symbols=None).obstacles


@pytest.mark.full
def test_an_interrupted_adoption_changes_nothing(tutorial: Tutorial) -> None:
    """The next one does all of it."""
    rows, structure = tutorial.rows(), tutorial.structure()

    def killed(line: str) -> None:
        if "chunk 2" in line:
            raise InterruptedError(line)

    with pytest.raises(InterruptedError):
        tutorial.adopt(say=killed)
    assert tutorial.rows() == rows
    assert tutorial.structure() == structure
    tutorial.adopt()
    assert tutorial.rows() == rows


@pytest.mark.full
def test_an_own_table_of_the_same_name_as_a_view(without_tables: Tutorial) -> None:
    """Nothing of the tutorial: there is nothing to adopt, and the message names what is in the way."""
    without_tables.run("CREATE TABLE session_day_candle (id int)")
    with (
        without_tables.database.transaction() as cursor,
        pytest.raises(
            relations.ForeignTablesError, match=r"ALTER TABLE session_day_candle RENAME TO own_session_day_candle"
        ),
    ):
        relations.require_own_tables(cursor)
    without_tables.run("DROP TABLE session_day_candle", TABLE, ROWS, COMPANY)
    with (
        without_tables.database.transaction() as cursor,
        pytest.raises(relations.ForeignTablesError, match=r"tutorial's.*`ticks database adopt --dry-run`"),
    ):
        relations.require_own_tables(cursor)


def test_all_of_ours_are_known_as_ours(database: Database) -> None:
    """Each table and view that users query, or a table of others under its name would not be noticed."""
    ours = {name for name in OBJECTS if "." not in name}
    known = {*relations.TABLES, *relations.VIEWS, *(candle.name for candle in CANDLES)}
    assert ours - known == set()
    with database.transaction() as cursor:
        assert relations.find(cursor) == []


@pytest.mark.full
def test_own_aggregates_and_the_script_go_on(tutorial: Tutorial) -> None:
    """An aggregate of the user's own keeps its past, and gets what the script and the feeds add."""
    tutorial.run(
        "CREATE MATERIALIZED VIEW weeks WITH (timescaledb.continuous) AS SELECT time_bucket('7 days', time) AS week, "
        "symbol, max(day_volume) AS volume FROM stocks_real_time GROUP BY 1, 2 WITH NO DATA",
        "CALL refresh_continuous_aggregate('weeks', NULL, NULL)",
        "CREATE VIEW volumes AS SELECT symbol, day_volume FROM stocks_real_time WHERE day_volume > 1990",
        "ALTER TABLE stocks_real_time SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol')",
        "SELECT compress_chunk(c) FROM show_chunks('stocks_real_time') AS c",
        "SELECT drop_chunks('stocks_real_time', older_than => '2026-10-08'::timestamptz)",
    )
    before, weeks = tutorial.rows(), tutorial.ask("SELECT * FROM weeks ORDER BY 1, 2")
    tutorial.adopt()
    assert tutorial.rows() == before
    assert tutorial.ask("SELECT * FROM weeks ORDER BY 1, 2") == weeks
    assert tutorial.ask("SELECT count(*) FROM volumes") == [(3,)]
    tutorial.run(
        "INSERT INTO stocks_real_time (time, symbol, price, day_volume) VALUES "
        "('2026-11-02 10:00:01', 'AAPL', 5, 7), ('2026-11-02 10:00:00', 'AAPL', 4, 6), "
        "('2026-11-02 10:00:01', 'AAPL', 3, 9)",
        "CALL refresh_continuous_aggregate('weeks', '2026-10-20', '2026-11-20')",
    )
    assert tutorial.ask("SELECT volume FROM weeks WHERE week > '2026-10-25'") == [(9,)]
    assert tutorial.ask("SELECT open, close FROM one_minute_candle WHERE bucket = '2026-11-02 10:00'") == [(4, 3)]
    tutorial.run("DROP VIEW volumes", "DROP MATERIALIZED VIEW weeks")
    rebuild.finish(tutorial.database, tutorial.said.append)
    columns = tutorial.ask("SELECT attname FROM pg_attribute WHERE attrelid = 'stocks_real_time'::regclass")
    assert ("day_volume_whole",) not in columns
