"""Trades that the market takes back, official prices, and ticks of secondary feeds: what is stored, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import numpy as np
import pytest

from ticks_platform.feeds.columns import TickColumns
from ticks_platform.feeds.events import Correction, Event, OfficialPrice, Tick
from ticks_platform.feeds.updates import HIGH_LOW, SECONDARY, VOLUME
from ticks_platform.ingestion import audit, loader
from ticks_platform.ingestion.rows import corrections
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.database import Database
from ticks_platform_tests.conftest import make_policies
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, rows, unbalanced
from ticks_platform_tests.support.limited_unpacking import limited_unpacking

DAY = 86_400
NOON = int(time.time()) // DAY * DAY - DAY // 2
"""Noon of yesterday, UTC."""

TAGS: dict[str, type[Event]] = {"tick": Tick, "correction": Correction, "official": OfficialPrice}

Load = Callable[..., None]


def decode(data: bytes) -> list[Event]:
    """The events of a frame that `framed` made."""
    return [msgspec.convert(fields, TAGS[tag]) for tag, fields in msgspec.json.decode(data)]


def framed(*events: Event) -> bytes:
    """A frame of these events."""
    tags = {type_: tag for tag, type_ in TAGS.items()}
    return msgspec.json.encode([(tags[type(event)], msgspec.structs.asdict(event)) for event in events])


def tick(trade_id: str = "1", price: float = 10.0, size: float = 5.0, *, at: float = NOON, **fields: Any) -> Tick:
    """A trade at noon of yesterday."""
    return Tick("AAPL", int(at * 1e9), price, size=size, exchange="4", trade_id=trade_id, **fields)


def cancel(trade_id: str = "1", *, at: float = NOON, **fields: Any) -> Correction:
    """Its cancel, with a time of its own."""
    return Correction("AAPL", int(at * 1e9), "4", trade_id, "cancelled", "test 8", **fields)


def corrected(trade_id: str = "1", **fields: Any) -> Correction:
    """Tells that a trade was corrected."""
    return Correction("AAPL", NOON * 10**9, "4", trade_id, "corrected", "test 12", **fields)


@pytest.fixture
def load(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Load:
    """Load frames with a new loader, as after a restart; no tick differs from what was loaded."""

    def run(*frames: bytes) -> None:
        make_loader(take_lease("one"), frames, decode).run()
        with database.autocommit() as cursor:
            assert audit.hours(cursor, oldest=True).problems() == []

    return run


def ticks(database: Database) -> list[tuple[Any, ...]]:
    """Trade id, price and bits of every tick."""
    return rows(database, "SELECT trade_id, price, updates FROM stocks_real_time ORDER BY tick_id")


def taken_back(database: Database) -> list[tuple[Any, ...]]:
    """Kind, price, size, bits, and whether its tick is known, of every correction."""
    return rows(
        database,
        "SELECT kind, price, size, updates, tick_id IN (SELECT tick_id FROM stocks_real_time WHERE updates & 8 = 8) "
        "FROM tick_correction ORDER BY correction_id",
    )


def account(database: Database) -> tuple[int, ...]:
    """The ledger's loaded, replaced, duplicate and rejected."""
    assert unbalanced(database) == []
    columns = ", ".join(f"sum({name})::int" for name in ("loaded", "replaced", "duplicate", "rejected"))
    return rows(database, f"SELECT {columns} FROM ticks_platform.feed_ledger")[0]


@pytest.mark.parametrize("batch_bytes", [loader.MAX_BATCH_BYTES, 1])
@pytest.mark.parametrize("cancel_first", [False, True])
def test_a_cancelled_trade_keeps_its_row_whichever_comes_first(
    database: Database, load: Load, monkeypatch: pytest.MonkeyPatch, batch_bytes: int, *, cancel_first: bool
) -> None:
    """In one batch and in two."""
    monkeypatch.setattr(loader, "MAX_BATCH_BYTES", batch_bytes)
    events = [tick(conditions=(32,), updates=HIGH_LOW | VOLUME), cancel(at=NOON + 1140)]
    load(*(framed(event) for event in (reversed(events) if cancel_first else events)), framed(tick("2")))
    assert ticks(database) == [("1", 10.0, 14), ("2", 10.0, None)]
    assert taken_back(database) == [("cancelled", 10.0, 5.0, 6, True)]
    assert account(database) == (3, 0, 0, 0)


def test_a_correction_that_is_told_again_changes_nothing(database: Database, load: Load) -> None:
    load(framed(tick()), framed(cancel(), cancel()), framed(cancel("unknown"), cancel("unknown")))
    load(framed(tick(), cancel()), framed(cancel("unknown")))
    assert ticks(database) == [("1", 10.0, 15)]
    assert taken_back(database) == [("cancelled", 10.0, 5.0, None, True), ("cancelled", None, None, None, None)]
    assert account(database) == (3, 0, 5, 0)


@pytest.mark.parametrize("together", [False, True])
def test_a_corrected_trade_is_a_tick_of_its_own(database: Database, load: Load, *, together: bool) -> None:
    right = tick(price=11.0)
    story = [corrected(kept_price=11.0, kept_size=5.0), right, corrected(price=10.0, size=5.0)]
    if together:
        load(framed(tick(), *story))
    else:
        load(framed(tick()))
        load(framed(*story))
    expected = [("1", 10.0, 15), ("1", 11.0, None)]
    assert ticks(database) == expected
    assert [row[:3] for row in taken_back(database)] == [("corrected", 10.0, 5.0)]
    # Read again, as by a repair: nothing more happens.
    load(framed(*story))
    assert ticks(database) == expected
    load(framed(tick(price=10.0)))
    assert ticks(database) == expected, "the incorrect one comes again"
    assert len(taken_back(database)) == 1
    assert unbalanced(database) == []


def test_the_incorrect_data_alone_take_nothing_else_back(database: Database, load: Load) -> None:
    load(framed(tick()), framed(corrected(price=99.0, size=5.0)), framed(corrected(kept_price=10.0, kept_size=5.0)))
    assert ticks(database) == [("1", 10.0, None)]
    assert taken_back(database) == []
    assert account(database) == (1, 0, 2, 0)


def test_the_correct_data_alone_take_nothing_back(database: Database, load: Load) -> None:
    """They do not wait for their own trade, should a batch end between the two."""
    load(framed(corrected(kept_price=10.0, kept_size=5.0)))
    load(framed(tick()))
    assert ticks(database) == [("1", 10.0, None)]
    assert taken_back(database) == []
    assert account(database) == (1, 0, 1, 0)


def test_another_day_and_another_exchange_are_other_trades(database: Database, load: Load) -> None:
    load(
        framed(tick()),
        framed(cancel(at=NOON - DAY)),
        framed(Correction("AAPL", NOON * 10**9, None, "1", "cancelled", "")),
    )
    assert ticks(database) == [("1", 10.0, None)]


def test_only_corrections_of_the_same_days_are_looked_up_with_new_ticks(
    database: Database, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose tick never comes would cost every batch more, from year to year."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO tick_correction "
            "(correction_id, time, symbol, exchange, trade_id, feed, kind, known_at, source) "
            "SELECT gen_random_uuid(), to_timestamp(%s) - number * INTERVAL '1 day', 'AAPL', '4', '1', 'test', "
            "'cancelled', now(), '' FROM generate_series(0, 300) AS number",
            (NOON,),
        )
    asked: list[int] = []
    stored_ticks = corrections._stored_ticks

    def counted(cursor: Any, feed: str, events: Any) -> Any:
        asked.append(len(events))
        return stored_ticks(cursor, feed, events)

    monkeypatch.setattr(corrections, "_stored_ticks", counted)
    load(framed(tick()), framed(tick(at=NOON - 3 * DAY)))
    assert [bits for *_, bits in ticks(database)] == [15, 15]
    assert max(asked) <= 4


@pytest.mark.full
def test_ticks_are_read_once_for_all_corrections_of_a_symbol(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, exchange, trade_id, feed, received_at) "
            "SELECT to_timestamp(%s) + number * INTERVAL '1 second', symbol, 10, 5, gen_random_uuid(), '4', "
            "number::text, 'test', now() FROM generate_series(1, 2000) AS number, "
            "(SELECT 'AAPL' AS symbol UNION ALL SELECT 'S' || other FROM generate_series(1, 30) AS other) AS symbols",
            (NOON - DAY // 4,),
        )
    events = [cancel(str(number)) for number in range(1, 201)]
    with database.transaction() as cursor:
        # As the planner decides for a large table.
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute("SET LOCAL enable_seqscan = off")
        # It takes a tenth of a second, and 13 s if it reads them for each.
        cursor.execute("SET LOCAL statement_timeout = '5s'")
        assert len(corrections._stored_ticks(cursor, "test", events)) == len(events)


def test_a_tick_in_a_compressed_chunk_is_taken_back(database: Database, load: Load) -> None:
    load(framed(*(tick(str(number), at=NOON + number) for number in range(50))))
    rows(database, "SELECT count(compress_chunk(chunk, true)) FROM show_chunks('stocks_real_time') AS chunk")
    load(framed(cancel("7"), cancel("9")))
    assert [row[0] for row in ticks(database) if row[2] == 15] == ["7", "9"]
    assert account(database) == (52, 0, 0, 0)


def test_a_correction_that_the_database_refuses_is_rejected_alone(database: Database, load: Load) -> None:
    load(framed(tick(), tick("2")), framed(cancel("\0"), cancel()))
    assert ticks(database) == [("1", 10.0, 15), ("2", 10.0, None)]
    assert account(database) == (3, 0, 0, 1)


def official(price: float, *, kind: str = "close", exchange: str | None = "12", at: float = NOON) -> OfficialPrice:
    """An official price of the session."""
    return OfficialPrice("AAPL", int(at * 1e9), date(2026, 3, 3), kind, price, 100.0, exchange, exchange == "12")  # type: ignore[arg-type]


def test_a_later_official_price_replaces_the_earlier_one(database: Database, load: Load) -> None:
    load(framed(official(10.0), official(10.5), official(9.0, exchange=None)), framed(official(8.0, kind="open")))
    load(framed(official(11.0, at=NOON + 3600)))
    assert rows(
        database, "SELECT kind, exchange, price, is_primary, session::text FROM official_price ORDER BY kind, exchange"
    ) == [
        ("close", "", 9.0, False, "2026-03-03"),
        ("close", "12", 11.0, True, "2026-03-03"),
        ("open", "12", 8.0, True, "2026-03-03"),
    ]
    assert account(database) == (3, 2, 0, 0)
    assert ticks(database) == []


def test_ticks_of_a_secondary_feed_have_its_bit(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_loader(take_lease("one"), [framed(tick("1"), tick("2", updates=VOLUME), cancel("1"))], decode)
    monkeypatch.setattr(made._decoding, "_secondary", True)
    made.run()
    assert ticks(database) == [("1", 10.0, 31), ("2", 10.0, 20)]


@pytest.mark.parametrize("by_column", [False, True])
def test_a_bit_is_added_to_events_and_to_columns(*, by_column: bool) -> None:
    events = [tick(), tick(updates=0), tick(updates=HIGH_LOW)]
    numbers = np.arange(len(events))
    batch = Rows(TickColumns.of(events) if by_column else events, numbers, numbers)
    assert [each.updates for each in batch.marked(SECONDARY).as_events()] == [23, 16, 18]


def test_candles_that_no_policy_refreshes_follow_a_correction(database: Database, load: Load) -> None:
    at = NOON - 10 * DAY
    load(framed(tick(at=at), tick("2", price=99.0, at=at + 1)))
    with database.autocommit() as cursor:
        make_policies(cursor)
        assert late_ticks.refresh(cursor).hours
        assert not late_ticks.find(cursor).hours
    load(framed(cancel("2", at=at + 7200)))
    with database.autocommit() as cursor:
        assert [hour.begin.timestamp() for hour in late_ticks.refresh(cursor).hours] == [at]
        assert not late_ticks.find(cursor).hours


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("incorrect_first", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_a_trade_whose_conditions_alone_were_corrected(
    database: Database, load: Load, *, known: bool, incorrect_first: bool, together: bool
) -> None:
    """Price and size are the same in both records."""
    wrong, right = tick(), tick(conditions=(37, 41), updates=VOLUME)
    pair: list[list[Event]] = [
        [corrected(kept_price=10.0, kept_size=5.0, kept_conditions=(37, 41)), right],
        [corrected(price=10.0, size=5.0, conditions=())],
    ]
    if incorrect_first:
        pair.reverse()
    frames = [framed(*pair[0], *pair[1])] if together else [framed(*part) for part in pair]
    if known:
        load(framed(wrong))
    for _ in range(2):
        load(*frames)
        assert ticks(database) == ([("1", 10.0, 15)] if known else []) + [("1", 10.0, VOLUME)]
    # The incorrect one may come last, by the journal of the day.
    load(framed(wrong))
    assert [bits for *_, bits in ticks(database) if bits is None or not bits & 8] == [VOLUME]
    assert unbalanced(database) == []


def test_corrections_in_many_compressed_batches_are_all_applied(database: Database, load: Load) -> None:
    """The server's limit of what one transaction unpacks is about statements that unpack more than was meant."""
    load(framed(*(tick(str(number), at=NOON + number) for number in range(50))))
    rows(database, "SELECT count(compress_chunk(chunk, true)) FROM show_chunks('stocks_real_time') AS chunk")
    with limited_unpacking(database):
        load(framed(cancel("7"), cancel("9")))
    assert [row[0] for row in ticks(database) if row[2] == 15] == ["7", "9"]


def test_an_official_price_that_comes_late_does_not_replace_a_newer_one(database: Database, load: Load) -> None:
    """As the repair of a gap brings it, after the exchange has corrected it."""
    load(framed(official(11.0, at=NOON + 3600)))
    load(framed(official(10.0), official(10.0)))
    assert rows(database, f"SELECT price, time = to_timestamp({NOON + 3600}) FROM official_price") == [(11.0, True)]
    load(framed(official(12.0, at=NOON + 7200), official(10.0)))
    assert rows(database, "SELECT price FROM official_price") == [(12.0,)]
    assert account(database)[0] == 1
