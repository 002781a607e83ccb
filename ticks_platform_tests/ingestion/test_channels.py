"""feed_channel: the state of each channel, after changes."""

from __future__ import annotations

import time

from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    HeardAgain,
    Notice,
    ProviderError,
    Silent,
    Unsubscribed,
)
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion import channels
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows

AT = 1_767_225_600


def change(notice: Notice | None, *, later: int = 0, detail: str = "") -> Change:
    return Change(State.STREAMING, (AT + later) * 10**9, 1, detail, notice)


def record(database: Database, *notices: Notice | None, later: int = 0) -> None:
    with database.transaction() as cursor:
        channels.record(cursor, "test", [change(notice, later=later) for notice in notices])


def known(database: Database) -> list[tuple[str, str, str]]:
    return rows(database, "SELECT channel, state, detail FROM ticks_platform.feed_channel ORDER BY channel")


def test_the_latest_state_of_each_channel_is_kept(database: Database, take_lease: TakeLease) -> None:
    take_lease("one")
    record(database, Acknowledged(("A", "B", "C")), ChannelsFailed({"D": "no such symbol"}))
    assert known(database) == [
        ("A", "subscribed", ""),
        ("B", "subscribed", ""),
        ("C", "subscribed", ""),
        ("D", "failed", "no such symbol"),
    ]
    record(database, Silent({"A": 61.4, "B": 70.0}), HeardAgain(("B",)), Unsubscribed(("C", "Z")), later=60)
    assert known(database) == [
        ("A", "silent", "for 61 s when it was detected"),
        ("B", "subscribed", "was silent"),
        ("D", "failed", "no such symbol"),
    ]
    assert rows(
        database, "SELECT channel, extract(epoch FROM since)::bigint FROM ticks_platform.feed_channel ORDER BY 1"
    ) == [
        ("A", AT + 60),
        ("B", AT + 60),
        ("D", AT),
    ]


def test_the_last_of_several_changes_is_recorded(database: Database, take_lease: TakeLease) -> None:
    take_lease("one")
    record(database, ChannelsFailed({"A": "busy"}), Acknowledged(("A",)), Acknowledged(("B",)), Unsubscribed(("B",)))
    assert known(database) == [("A", "subscribed", "")]
    record(database, Unsubscribed(("A",)), Acknowledged(("A",)), None, ProviderError("hm"))
    assert known(database) == [("A", "subscribed", "")]


def test_unstorable_names_are_escaped(database: Database, take_lease: TakeLease) -> None:
    take_lease("one")
    record(
        database, Acknowledged(("A\0", "A\\0", "\ud800")), ChannelsFailed({"B\0": "why\0\udfff"}), Silent({"C\0": 5})
    )
    assert known(database) == [
        ("A\\0", "subscribed", ""),
        ("B\\0", "failed", "why\\0\\udfff"),
        ("C\\0", "silent", "for 5 s when it was detected"),
        ("\\ud800", "subscribed", ""),
    ]
    record(database, Unsubscribed(("A\0", "B\0", "\ud800")), HeardAgain(("C\0",)))
    assert known(database) == [("C\\0", "subscribed", "was silent")]


def test_thousands_of_channels(database: Database, take_lease: TakeLease) -> None:
    take_lease("one")
    names = tuple(f"T.S{number}" for number in range(5000))
    for _ in range(2):
        record(database, Acknowledged(names))
    assert rows(database, "SELECT count(*) FROM ticks_platform.feed_channel") == [(5000,)]
    record(database, Unsubscribed(names[1:]))
    assert known(database) == [("T.S0", "subscribed", "")]


def test_a_new_owner_clears_the_channels(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    first = make_loader(take_lease("one"), [price()])
    first.record(change(Acknowledged(("A", "B")), detail="subscribed to A, B"))
    first.run()
    assert [row[:2] for row in known(database)] == [("A", "subscribed"), ("B", "subscribed")]
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO ticks_platform.feed SELECT 'other', provider, synthetic FROM ticks_platform.feed")
        channels.record(cursor, "other", [change(Acknowledged(("A",)))])
    second = make_loader(take_lease("two"), [])
    second.record(Change(State.STREAMING, time.time_ns(), 1, "", ChannelsFailed({"B": "gone"})))
    second.run()
    assert rows(database, "SELECT feed, channel, state FROM ticks_platform.feed_channel ORDER BY feed") == [
        ("other", "A", "subscribed"),
        ("test", "B", "failed"),
    ]
