"""`halted`: the reason for a bucket without a candle in which trading was halted, and what `explain_candle` says."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ticks_platform.timescale.candles import explanation, explanation_text
from ticks_platform.timescale.candles.candles import ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows

BEGIN = datetime(2026, 3, 3, 15, 0, tzinfo=timezone.utc)


def at(minute: float) -> datetime:
    return BEGIN + timedelta(minutes=minute)


@pytest.fixture
def database(database: Database) -> Database:
    """With AAPL of two feeds, asked for an hour before."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) "
            "VALUES ('tape', 'polygon', true), ('other', 'polygon', true)"
        )
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
            "VALUES ('tape', 'AAPL', %s, 'always')",
            (at(-60),),
        )
    return database


def tell(database: Database, *told: tuple[float, str], feed: str = "tape") -> None:
    """Halts and resumptions, in minutes after BEGIN."""
    with database.transaction() as cursor:
        for minute, kind in told:
            cursor.execute(
                "INSERT INTO trading_halt VALUES (%s, 'AAPL', %s, %s, %s)", (at(minute), kind, feed, at(minute))
            )


def trades(database: Database, *minutes: float, updates: int | None = None) -> None:
    with database.transaction() as cursor:
        for minute in minutes:
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at, updates) "
                "VALUES (%s, 'AAPL', 1, gen_random_uuid(), 'tape', %s, %s)",
                (at(minute), at(minute), updates),
            )


def gap(database: Database, begins: float, ends: float | None) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
            "VALUES ('tape', 'AAPL', %s, %s, 'disconnected')",
            (at(begins), None if ends is None else at(ends)),
        )


def halted(database: Database, minutes: int = 20) -> list[int]:
    """The minutes of which the reason is `halted`."""
    query = f"SELECT reason FROM ticks_platform.candle_reasons('AAPL', '{at(0)}', '{at(minutes)}')"
    return [minute for minute, (reason,) in enumerate(rows(database, query)) if reason == "halted"]


def reason(database: Database, minute: float, width: str = "1 minute") -> str:
    return str(rows(database, f"SELECT ticks_platform.why_no_candle('AAPL', '{at(minute)}', '{width}')")[0][0])


def test_from_the_halt_to_the_resumption(database: Database) -> None:
    """A minute that is halted for a part has a candle if it has a trade. Prints that form no price stay `no_price`."""
    trades(database, 2.1, 8.9, 12)
    trades(database, 5, updates=4)
    tell(database, (2.5, "halt"), (8.5, "resume"), (10.5, "halt"), (11.5, "resume"))
    assert halted(database) == [3, 4, 6, 7, 10, 11]
    assert reason(database, 5) == "no_price"
    assert reason(database, 9) == "no_trade"
    assert reason(database, 4, "15 minutes") == "candle"
    assert reason(database, 14, "5 minutes") == "candle"


def test_by_two_feeds_and_told_again(database: Database) -> None:
    tell(database, (2, "halt"), (4, "halt"), (6, "resume"))
    tell(database, (2, "halt"), (6, "resume"), feed="other")
    assert halted(database) == [2, 3, 4, 5]


def test_a_halt_that_lasts(database: Database) -> None:
    tell(database, (2, "halt"))
    assert halted(database) == list(range(2, 20))
    trades(database, 2.2, 2.9)
    assert halted(database) == list(range(3, 20)), "trades from before it are reported late"


def test_a_resumption_that_was_missed(database: Database) -> None:
    """Nobody knows of the time after the gap; and after a trade, trading goes on."""
    tell(database, (2, "halt"))
    trades(database, 15)
    assert halted(database) == list(range(2, 15))
    gap(database, 6, 8)
    assert halted(database) == [2, 3, 4, 5]
    assert reason(database, 7) == "feed_gap"
    assert reason(database, 9) == "no_trade"
    tell(database, (17, "halt"), (19, "resume"))
    assert halted(database) == [2, 3, 4, 5, 17, 18]


def test_a_gap_within_a_halt(database: Database) -> None:
    tell(database, (2, "halt"), (10, "resume"))
    gap(database, 6, 8)
    assert halted(database) == [2, 3, 4, 5, 8, 9], "it was halted before the resumption"


def test_a_halt_that_was_missed(database: Database) -> None:
    """The resumption tells of it: since the gap, or the last trade after it."""
    gap(database, 2, 5)
    tell(database, (10, "resume"))
    assert halted(database) == [5, 6, 7, 8, 9]
    trades(database, 7.5)
    assert halted(database) == [8, 9]


def test_explained(database: Database) -> None:
    tell(database, (2.25, "halt"), (8, "resume"))
    with database.transaction() as cursor:
        answer, later = (explanation.explain(cursor, "AAPL", at(minute), ONE_MINUTE) for minute in (2, 7))
    assert answer["answer"] == "halted"
    assert [halt["feed"] for halt in answer["halts"]] == ["tape"]
    text = explanation_text.text(answer)
    assert "trading of AAPL was halted, and there was no trade in the minute" in text
    assert "trading was halted from 15:02:15Z to its end at least, as tape told" in text
    assert "trading was halted" in explanation_text.text(later)
