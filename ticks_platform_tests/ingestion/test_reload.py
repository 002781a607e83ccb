"""Rejected events that are loaded again: each once, in the account, and with their first arrival."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from ticks_platform.feeds.events import Event
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import reload
from ticks_platform.ingestion.reload import Reloaded, reload_rejected
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, price, rows, trade, unbalanced

ACCOUNT = "SELECT sum(events), sum(loaded), sum(duplicate), sum(rejected) FROM ticks_platform.feed_ledger"


@pytest.fixture
def feed() -> FeedSettings:
    return FeedSettings.model_validate(
        {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL", "BAD"]}
    )


@pytest.fixture
def polygon() -> FeedSettings:
    return FeedSettings.model_validate(
        {"name": "test", "provider": "polygon", "endpoint": "stand-in", "symbols": ["AAPL", "BAD"]}
    )


@pytest.fixture
def refusing(database: Database) -> Iterator[None]:
    """A table that refuses a symbol."""
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time ADD CONSTRAINT not_bad CHECK (symbol <> 'BAD')")
    yield
    accept(database)


def accept(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time DROP CONSTRAINT IF EXISTS not_bad")


def test_events_are_loaded_once_as_if_they_had_been_at_first(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, feed: FeedSettings, refusing: None
) -> None:
    make_loader(take_lease("one"), [price(), price(symbol="BAD", price=7.5), price()]).run()
    assert reload_rejected(feed, database) == Reloaded(read=1, rejected=1), "its reason is not gone"
    (arrival,) = rows(database, "SELECT received_at FROM ticks_platform.rejected_event")[0]
    accept(database)
    assert reload_rejected(feed, database, since=datetime.now(timezone.utc) + timedelta(hours=1)) == Reloaded()
    assert reload_rejected(feed, database) == Reloaded(read=1, loaded=1)
    assert reload_rejected(feed, database) == Reloaded()
    assert rows(database, "SELECT price, received_at FROM stocks_real_time WHERE symbol = 'BAD'") == [(7.5, arrival)]
    ids = "SELECT symbol FROM stocks_real_time ORDER BY substr(tick_id::text, 20)"
    assert [symbol for (symbol,) in rows(database, ids)] == ["AAPL", "BAD", "AAPL"], "in the order of arrival"
    assert rows(database, ACCOUNT) == [(3, 3, 0, 0)]
    assert unbalanced(database) == []


def test_an_event_of_a_frame_is_loaded_without_the_others(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings, refusing: None
) -> None:
    now = time.time()
    symbols = ["AAPL", "BAD", "AAPL", "BAD"]
    events = [trade(f"t{number}", at=now, symbol=symbol) for number, symbol in enumerate(symbols)]
    malformed = trade("9", at=now, p="much")
    make_loader(take_lease("one"), [frame(*events), frame(events[0], malformed)], polygon_events.decode).run()
    assert rows(database, ACCOUNT) == [(6, 2, 1, 3)]
    for _ in range(2):
        assert reload_rejected(polygon, database) == Reloaded(read=3, rejected=3), "it keeps its place"
    accept(database)
    assert reload_rejected(polygon, database) == Reloaded(read=3, loaded=2, rejected=1)
    found = rows(database, "SELECT trade_id FROM stocks_real_time ORDER BY 1")
    assert [trade_id for (trade_id,) in found] == ["t0", "t1", "t2", "t3"]
    assert rows(database, ACCOUNT) == [(6, 4, 1, 1)]
    assert unbalanced(database) == []


def test_a_frame_that_was_rejected_is_loaded_with_all_of_its_events(
    database: Database,
    take_lease: TakeLease,
    make_loader: LoaderOf,
    polygon: FeedSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug of the connector that is mended. The provider has sent one of the trades again meanwhile."""
    now = time.time()
    data = frame(*(trade(f"t{number}", at=now) for number in range(3)), {"ev": "status", "status": "success"})

    def decode(received: bytes) -> list[Event]:
        if received == data:
            raise KeyError("i")
        return polygon_events.decode(received)

    make_loader(take_lease("one"), [data, frame(trade("t1", at=now)), price()], decode).run()
    assert rows(database, ACCOUNT) == [(3, 1, 0, 2)]
    monkeypatch.setattr(reload, "AT_ONCE", 1)
    assert reload_rejected(polygon, database) == Reloaded(read=2, loaded=2, duplicate=1, rejected=1, control=1)
    assert rows(database, "SELECT count(*), count(DISTINCT trade_id) FROM stocks_real_time") == [(3, 3)]
    assert rows(database, ACCOUNT) == [(6, 3, 1, 1)]
    assert unbalanced(database) == []


def test_those_of_an_older_release_are_loaded_where_their_bytes_suffice(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings, refusing: None
) -> None:
    now = time.time()
    alone, together = trade("1", at=now, symbol="BAD"), trade("2", at=now, symbol="BAD")
    frames = [frame(alone), frame(together, trade("3", at=now))]
    make_loader(take_lease("one"), frames, polygon_events.decode).run()
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.rejected_event SET place = NULL, epoch = NULL, connection = NULL")
    accept(database)
    assert reload_rejected(polygon, database) == Reloaded(read=2, loaded=1, rejected=1)
    assert rows(database, "SELECT trade_id FROM stocks_real_time ORDER BY 1") == [("1",), ("3",)]
    assert unbalanced(database) == []


def test_a_table_that_takes_nothing_changes_nothing(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, feed: FeedSettings, refusing: None
) -> None:
    make_loader(take_lease("one"), [price(symbol="BAD")] * 3).run()
    before = rows(database, "SELECT * FROM ticks_platform.rejected_event")
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time RENAME TO elsewhere")
    try:
        assert reload_rejected(feed, database) == Reloaded(read=3, rejected=3)
    finally:
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO stocks_real_time")
    assert rows(database, "SELECT * FROM ticks_platform.rejected_event") == before


def test_events_from_the_future_stay_however_many_agree(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, feed: FeedSettings, refusing: None
) -> None:
    """Without the others that came with them, they tell nothing of this machine's clock."""
    make_loader(take_lease("one"), [price(symbol="BAD")] * 10).run()
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.rejected_event SET received_at = received_at - INTERVAL '1 hour'")
    accept(database)
    assert reload_rejected(feed, database) == Reloaded(read=10, rejected=10)
    assert "after its arrival" in rows(database, "SELECT DISTINCT reason FROM ticks_platform.rejected_event")[0][0]


def test_what_is_loaded_again_is_found_by_a_loader_that_has_received_it_already(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings
) -> None:
    """It does not remember what was rejected, and what it has prepared is neither old nor late."""
    now = time.time()
    named, nameless = trade("1", at=now, symbol="NEW"), trade(None, at=now, symbol="NEW")
    make_loader(take_lease("one"), [frame(named, nameless)], polygon_events.decode, AskedSymbols.of(polygon)).run()
    done: list[Reloaded] = []

    def decode(received: bytes) -> list[Event]:
        if not done:
            done.append(reload_rejected(wanting(polygon, "NEW"), database))
        return polygon_events.decode(received)

    make_loader(take_lease("two"), [frame(nameless, trade("2", at=now), named)], decode).run()
    assert done == [Reloaded(read=2, loaded=2)]
    found = rows(database, "SELECT trade_id FROM stocks_real_time ORDER BY 1")
    assert found == [("1",), ("2",), (None,)]
    assert rows(database, ACCOUNT) == [(5, 3, 2, 0)]
    assert unbalanced(database) == []


def test_equal_trades_without_ids_are_each_loaded_in_however_many_transactions(
    database: Database,
    take_lease: TakeLease,
    make_loader: LoaderOf,
    polygon: FeedSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And found, if another connection has brought them too, or their frame has come again."""
    monkeypatch.setattr(reload, "AT_ONCE", 2)
    now = time.time()
    sent = frame(*[trade(None, at=now, symbol="NEW")] * 3)
    for owner in ("one", "two"):
        make_loader(take_lease(owner), [sent], polygon_events.decode, AskedSymbols.of(polygon)).run()
    assert reload_rejected(wanting(polygon, "NEW"), database) == Reloaded(read=6, loaded=3, duplicate=3)
    monkeypatch.setattr(reload, "AT_ONCE", 500)
    twice = frame(trade(None, at=now + 0.001, symbol="NEW"), trade(None, at=now + 0.001, symbol="NEW"))
    make_loader(take_lease("three"), [twice, twice], polygon_events.decode, AskedSymbols.of(polygon)).run()
    assert reload_rejected(wanting(polygon, "NEW"), database) == Reloaded(read=4, loaded=2, duplicate=2)
    assert rows(database, ACCOUNT) == [(10, 5, 5, 0)]
    assert unbalanced(database) == []


def test_a_trade_that_was_sent_again_with_another_time_is_not_loaded_again(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings
) -> None:
    now, wanted = time.time(), wanting(polygon, "NEW")
    sent = frame(trade("7", at=now - 2, symbol="NEW"), trade("8", at=now - 2, symbol="NEW"))
    make_loader(take_lease("one"), [sent], polygon_events.decode, AskedSymbols.of(polygon)).run()
    again = frame(trade("7", at=now - 1, symbol="NEW"), trade("9", at=now - 2, symbol="NEW"))
    make_loader(take_lease("two"), [again], polygon_events.decode, AskedSymbols.of(wanted)).run()
    assert reload_rejected(wanted, database) == Reloaded(read=2, loaded=1, duplicate=1)
    assert rows(database, "SELECT trade_id FROM stocks_real_time ORDER BY 1") == [("7",), ("8",), ("9",)]
    assert unbalanced(database) == []


def test_of_equal_trades_of_one_connection_some_were_rejected(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings
) -> None:
    """The first of three; they differ in nothing that is stored."""
    first = "right(NEW.tick_id::text, 17) = '8000-000000000001'"
    with database.transaction() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_first() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN IF {first} THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END$$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON stocks_real_time FOR EACH ROW EXECUTE FUNCTION refuse_first()"
        )
    try:
        sent = [frame(trade(None, at=time.time() // 1, q=number)) for number in range(3)]
        make_loader(take_lease("one"), sent, polygon_events.decode).run()
    finally:
        with database.transaction() as cursor:
            cursor.execute("DROP TRIGGER refuse ON stocks_real_time; DROP FUNCTION refuse_first")
    assert rows(database, ACCOUNT) == [(3, 2, 0, 1)]
    assert reload_rejected(polygon, database) == Reloaded(read=1, loaded=1)
    assert rows(database, ACCOUNT) == [(3, 3, 0, 0)]
    assert unbalanced(database) == []


def wanting(feed: FeedSettings, *symbols: str) -> FeedSettings:
    return FeedSettings.model_validate(
        {"name": feed.name, "provider": feed.provider, "endpoint": "stand-in", "symbols": ["AAPL", "BAD", *symbols]}
    )


def kept(database: Database) -> tuple[int, int, int]:
    """Rejected events, those with bytes, and all bytes."""
    query = "SELECT count(*), count(*) FILTER (WHERE raw <> ''), sum(length(raw)) FROM ticks_platform.rejected_event"
    return rows(database, query)[0]  # type: ignore[return-value]


def test_a_large_frame_is_kept_once_and_each_of_its_events_can_be_loaded(
    database: Database,
    take_lease: TakeLease,
    make_loader: LoaderOf,
    polygon: FeedSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stays with the first event that is left, in however many transactions the others are loaded."""
    monkeypatch.setattr(reload, "AT_ONCE", 25)
    now, number = time.time(), 60
    wanted = [trade(f"w{each}", at=now, symbol="NEW") for each in range(number)]
    others = [trade(f"o{each}", at=now, symbol="OTHER") for each in range(3)]
    future = [trade(f"f{each}", at=now + 86_400) for each in range(3)]
    sent = frame(*others[:1], *future, *wanted[:10], {"ev": "T", "p": "NaN"}, *others[1:], *wanted[10:])
    asked = AskedSymbols.of(polygon)
    make_loader(take_lease("one"), [sent, frame(trade("a", at=now))], polygon_events.decode, asked).run()
    assert rows(database, ACCOUNT) == [(number + 8, 1, 0, number + 7)]
    malformed = len(b'{"ev": "T", "p": "NaN"}')
    assert kept(database) == (number + 7, 2, len(sent) + malformed)

    assert reload_rejected(polygon, database) == Reloaded(read=number + 7, rejected=number + 7)
    assert kept(database) == (number + 7, 2, len(sent) + malformed)
    new = wanting(polygon, "NEW")
    dry = reload_rejected(new, database, dry_run=True)
    assert dry == Reloaded(read=number + 7, loaded=number, rejected=7)
    assert kept(database) == (number + 7, 2, len(sent) + malformed), "nothing is changed by it"
    assert reload_rejected(new, database) == dry
    assert reload_rejected(new, database) == Reloaded(read=7, rejected=7)
    assert kept(database) == (7, 2, len(sent) + malformed)
    assert reload_rejected(wanting(polygon, "NEW", "OTHER"), database) == Reloaded(read=7, loaded=3, rejected=4)
    assert kept(database) == (4, 2, len(sent) + malformed), "the next one has the frame now"
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.rejected_event SET received_at = received_at + INTERVAL '1 day'")
    assert reload_rejected(new, database) == Reloaded(read=4, loaded=3, rejected=1)
    assert kept(database) == (1, 1, malformed)
    assert rows(database, "SELECT count(*), count(DISTINCT trade_id) FROM stocks_real_time") == [
        (number + 7, number + 7)
    ]
    assert unbalanced(database) == []


def test_bytes_of_what_no_connector_can_name_are_kept(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings
) -> None:
    """What a connector returns by mistake, and a frame that has to be read event by event."""
    now = time.time()
    unknown = frame(trade("1", at=now), trade("2", at=now))
    nan = frame(trade(None, at=now), trade("3", at=now, p=float("nan")))

    def decode(received: bytes) -> list[Event]:
        events = polygon_events.decode(received)
        return [events[0], "a trade"] if received == unknown else events  # type: ignore[list-item]

    make_loader(take_lease("one"), [unknown, nan], decode).run()
    found = rows(database, "SELECT raw, place FROM ticks_platform.rejected_event ORDER BY position")
    assert [(bytes(raw), place) for raw, place in found] == [
        (unknown, 1),
        (nan, 1),
    ]
    assert reload_rejected(polygon, database) == Reloaded(read=2, loaded=1, rejected=1)
    assert rows(database, "SELECT trade_id FROM stocks_real_time ORDER BY 1") == [("1",), ("2",), (None,)]
    assert unbalanced(database) == []


@pytest.mark.full
def test_a_frame_of_three_megabytes_costs_no_more_than_itself(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings
) -> None:
    now = time.time()
    sent = frame(*(trade(str(each), at=now, symbol="NEW", padding="x" * 200) for each in range(10_000)))
    assert len(sent) > 3_000_000
    make_loader(take_lease("one"), [sent], polygon_events.decode, AskedSymbols.of(polygon)).run()
    assert kept(database) == (10_000, 1, len(sent))
    assert reload_rejected(polygon, database) == Reloaded(read=10_000, rejected=10_000)
    assert kept(database) == (10_000, 1, len(sent))
    assert reload_rejected(wanting(polygon, "NEW"), database) == Reloaded(read=10_000, loaded=10_000)
    assert rows(database, "SELECT count(DISTINCT trade_id) FROM stocks_real_time") == [(10_000,)]
    assert unbalanced(database) == []


@pytest.mark.full
def test_events_are_loaded_while_the_feed_is_ingested(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings
) -> None:
    """And while the provider sends some of them again."""
    now = time.time()
    trades = [trade(str(each), at=now, symbol="NEW") for each in range(4_000)]
    frames = [frame(*trades[at : at + 40]) for at in range(0, len(trades), 40)]
    make_loader(take_lease("one"), frames, polygon_events.decode, AskedSymbols.of(polygon)).run()
    live = make_loader(take_lease("two"), [frame(each) for each in trades[::2]], polygon_events.decode)
    ingesting = threading.Thread(target=live.run)
    ingesting.start()
    done = reload_rejected(wanting(polygon, "NEW"), database)
    ingesting.join(60)
    assert done.loaded + done.duplicate == done.read == 4_000
    found = rows(database, "SELECT count(*), count(DISTINCT trade_id) FROM stocks_real_time")
    assert found == [(4_000, 4_000)]
    assert rows(database, ACCOUNT) == [(6_000, 4_000, 2_000, 0)]
    assert unbalanced(database) == []
