"""Several feeds in one process: each has its own lease, journal and account, and what happens to one is its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.errors import ActionRequiredError
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport import reconnect
from ticks_platform.ingestion import group as groups
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion import loader, switch
from ticks_platform.ingestion.group import Group, Owner, Rest
from ticks_platform.ingestion.handover import takeover
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.dagster import take_over
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_standin import StandIn, StandInSettings

SYMBOLS = {"apples": "AAPL", "chips": "NVDA", "coins": "BTC/USD"}
NAMES = sorted(SYMBOLS)
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and heartbeats are seconds apart in real life."""
    monkeypatch.setattr(groups, "TEND_INTERVAL", 0.1)
    monkeypatch.setattr(loader, "HEARTBEAT_INTERVAL", 0.2)


class Driven:
    """A group that is looked at by this thread, as its run does."""

    def __init__(self, group: Group, said: list[str]) -> None:
        self.group = group
        self.said = said
        self.goes_on = True

    def until(self, what: str, condition: Callable[[], Any]) -> None:
        """Look at it until the condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}; it said {self.said}"
            self.goes_on = self.group.look()
            time.sleep(0.02)

    def rest(self, name: str) -> Rest | None:
        """Why a feed does not stream; None if it does."""
        member = self.group.members[name]
        return member.rest if member.stream is None else None

    def loaded(self, name: str) -> int:
        stream = self.group.members[name].stream
        return 0 if stream is None else stream.progress().loaded


class Maker:
    """Makes groups of the three feeds, whose journals are in the folder of the test."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.urls: dict[str, str] = {}
        self.corrected_at = 0.0
        self.broken: dict[str, Callable[[], Exception]] = {}
        """Feeds whose ingestion cannot be made, with the error."""
        self.kind: Callable[[str], type[Ingestion]] = lambda _name: Ingestion
        self._made: list[Group] = []

    def feeds(self, **settings: Any) -> list[FeedSettings]:
        return [
            FeedSettings.model_validate(
                {
                    **{"name": name, "provider": "twelve_data", "endpoint": self.urls[name], "group": "small"},
                    **{"synthetic_endpoint": True, "symbols": [SYMBOLS[name]], "api_key_env": "TICKS_TEST_KEY"},
                    **settings.get(name, {}),
                }
            )
            for name in NAMES
        ]

    def __call__(self, owner: str = "first", whose: Callable[[str], Owner] = lambda _owner: Owner.OTHER) -> Driven:
        said: list[str] = []

        def ingestion(feed: FeedSettings, follow: bool) -> Ingestion:
            if feed.name in self.broken:
                raise self.broken[feed.name]()
            return self.kind(feed.name)(
                feed=feed,
                connector=feed.connector(),
                database=self.database,
                owner=owner,
                journal_file=self.folder / f"{feed.name}.sqlite3",
                follow=follow,
            )

        group = Group(
            self.feeds(),
            database=self.database,
            ingestion=ingestion,
            owner=owner,
            whose=whose,
            say=lambda _level, message: said.append(message),
            corrected_at=lambda: self.corrected_at,
        )
        self._made.append(group)
        return Driven(group, said)

    def stop(self) -> None:
        for group in self._made:
            group.stop()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A stand-in that allows all the connections of the feeds of two runs, and any key."""
    with StandIn(StandInSettings(rate=0, record=True, max_connections=100)) as server:
        yield server


@pytest.fixture
def make(database: Database, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    monkeypatch.setenv("TICKS_TEST_KEY", "demo")
    maker = Maker(database, tmp_path)
    maker.urls = dict.fromkeys(NAMES, stand_in.url(key=None))
    yield maker
    maker.stop()


def stored(database: Database) -> dict[str, int]:
    return dict(rows(database, "SELECT feed, count(DISTINCT tick_id) FROM stocks_real_time GROUP BY feed"))


def by_feed(stand_in: StandIn) -> dict[str, int]:
    sent = stand_in.account().symbols
    return {name: sent[symbol] for name, symbol in SYMBOLS.items() if symbol in sent}


def switched(database: Database, name: str, *, enabled: bool) -> None:
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed=name, provider="twelve_data", synthetic=True, enabled=enabled)


def connections(stand_in: StandIn) -> int:
    return len(stand_in.account().connections)


def test_each_feed_has_its_own_lease_journal_account_and_switch(
    make: Maker, stand_in: StandIn, database: Database, tmp_path: Path
) -> None:
    driven = make()
    driven.until("all are subscribed", lambda: len(stand_in.account().connections) == 3)
    stand_in.wait_until_subscribed(*SYMBOLS.values(), timeout_s=60)
    stand_in.send_exactly(300, timeout_s=60)
    driven.until("all are stored", lambda: stored(database) == by_feed(stand_in))
    assert rows(database, "SELECT feed, owner FROM ticks_platform.feed_lease ORDER BY feed") == [
        (name, "first") for name in NAMES
    ]
    assert {file.stem for file in tmp_path.glob("*.sqlite3")} == set(NAMES)

    switched(database, "chips", enabled=False)
    driven.until("it has ended", lambda: driven.rest("chips") is Rest.DISABLED)
    assert (driven.goes_on, driven.rest("apples"), driven.rest("coins")) == (True, None, None)
    switched(database, "chips", enabled=True)
    driven.until("it streams again", lambda: connections(stand_in) == 4)
    stand_in.wait_until_subscribed(*SYMBOLS.values(), timeout_s=60)
    stand_in.send_exactly(100, timeout_s=60)
    driven.until("what came after is stored", lambda: stored(database) == by_feed(stand_in))

    make.stop()
    assert unbalanced(database) == []
    released = "SELECT count(*) FROM ticks_platform.feed_lease WHERE released_at IS NOT NULL"
    assert rows(database, released) == [(3,)]


def test_a_refused_feed_rests_until_something_is_corrected(
    make: Maker, stand_in: StandIn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.2)
    keys = StandInSettings(rate=0, record=True, keys=frozenset({"right"}), bad_key_mode="401")
    with StandIn(keys) as strict:
        make.urls["chips"] = strict.url(key=None)
        monkeypatch.setenv("TICKS_TEST_KEY", "wr0ng-k3y")
        driven = make()
        driven.until("it is refused", lambda: driven.rest("chips") is Rest.REFUSED)
        driven.until("the others are subscribed", lambda: len(stand_in.account().connections) == 2)
        assert any("refused the API key" in message for message in driven.said)
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        stand_in.send_exactly(50, timeout_s=60)
        driven.until("the others' ticks are stored", lambda: stored(database) == by_feed(stand_in))
        refusals = [message for message in driven.said if "refused the API key" in message]
        assert len(refusals) == 1, "it is not tried again by itself"

        monkeypatch.setenv("TICKS_TEST_KEY", "right")
        make.corrected_at = time.time()
        driven.until("it streams", lambda: any(each.subscribed for each in strict.account().connections))
        strict.send_exactly(20, timeout_s=60)
        driven.until("its ticks are stored", lambda: stored(database).get("chips") == 20)
        assert connections(stand_in) == 2, "the others stay connected"


def test_a_feed_that_somebody_else_ingests_is_left_alone_until_that_one_gives_it_up(
    make: Maker, stand_in: StandIn, database: Database
) -> None:
    with database.transaction() as cursor:
        lease = take_over(cursor, "chips", synthetic=True, owner="ticks ingest, elsewhere")
    driven = make()
    driven.until("the others are subscribed", lambda: connections(stand_in) == 2)
    driven.until("it rests", lambda: driven.rest("chips") is Rest.HELD)
    assert "ingested by ticks ingest, elsewhere" in driven.group.reasons()
    with database.transaction() as cursor:
        leases.release(cursor, lease)
    driven.until("it streams", lambda: connections(stand_in) == 3)

    with database.transaction() as cursor:
        take_over(cursor, "coins", synthetic=True, owner="ticks ingest, elsewhere")
    driven.until("it was taken away", lambda: driven.rest("coins") is Rest.HELD)
    assert (driven.rest("apples"), driven.rest("chips")) == (None, None)


def test_an_owner_that_fell_silent_is_replaced(
    make: Maker, stand_in: StandIn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as cursor:
        take_over(cursor, "chips", synthetic=True, owner="a machine that lost power")
    driven = make()
    driven.until("it rests", lambda: driven.rest("chips") is Rest.HELD)
    monkeypatch.setattr(groups, "DEAD_AFTER", 1.0)
    driven.until("it streams", lambda: connections(stand_in) == 3)


@pytest.mark.parametrize("error", [RuntimeError, ActionRequiredError])
def test_what_ends_one_feed_ends_no_other(
    make: Maker, stand_in: StandIn, database: Database, error: type[Exception]
) -> None:
    make.broken["chips"] = lambda: error("a fault of the connector")
    driven = make()
    driven.until("the others are subscribed", lambda: connections(stand_in) == 2)
    wanted = Rest.FAILED if error is RuntimeError else Rest.REFUSED
    driven.until("it rests", lambda: driven.rest("chips") is wanted)
    if error is RuntimeError:
        driven.until("it is retried ever less often", lambda: driven.group.members["chips"].failures == 3)
        delay = driven.group.members["chips"].retry_at - time.monotonic()
        assert 5.0 < delay <= 10.0
    stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
    stand_in.send_exactly(50, timeout_s=60)
    driven.until("the others' ticks are stored", lambda: stored(database) == by_feed(stand_in))
    make.broken["apples"] = make.broken["coins"] = make.broken["chips"]
    for name in ("apples", "coins"):
        switched(database, name, enabled=False)
    driven.until("nothing streams", lambda: not driven.goes_on)
    assert "a fault of the connector" in driven.group.reasons()


def test_a_feed_with_other_settings_is_handed_over_alone(
    make: Maker, stand_in: StandIn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is missed, the other feeds stay connected, and changed symbols need no new connection."""
    monkeypatch.setattr(takeover, "OVERLAP", 0.5)
    driven = make()
    driven.until("all are subscribed", lambda: connections(stand_in) == 3)
    stand_in.wait_until_subscribed(*SYMBOLS.values(), timeout_s=60)
    stand_in.send_exactly(100, timeout_s=60)
    driven.group.apply(make.feeds(chips={"stale_after_seconds": 77.0}, coins={"symbols": ["BTC/USD", "ETH/USD"]}))
    old = driven.group.members["chips"].stream
    driven.until("it is handed over", lambda: driven.group.members["chips"].stream is not old)
    stand_in.wait_until_subscribed(*SYMBOLS.values(), "ETH/USD", timeout_s=60)
    assert connections(stand_in) == 4
    stream = driven.group.members["chips"].stream
    assert stream is not None
    assert stream.feed.stale_after_seconds == 77.0
    driven.until(
        "the old one is closed", lambda: sum(each.ending is None for each in stand_in.account().connections) == 3
    )
    stand_in.send_exactly(100, timeout_s=60)
    sent = stand_in.account()
    driven.until("all are stored once", lambda: sum(stored(database).values()) == 200 == sent.ticks)
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(200,)]
    assert any("has other settings in feeds.yaml; it is handed over" in message for message in driven.said)

    driven.group.apply(make.feeds(coins={"symbols": ["BTC/USD", "ETH/USD"]})[1:])
    driven.until("the feed that is gone has ended", lambda: "apples" not in driven.group.members)
    assert set(driven.group.members) == {"chips", "coins"}


def test_a_new_run_takes_all_feeds_over_as_planned(
    make: Maker, stand_in: StandIn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "OVERLAP", 0.5)
    old = make("first", lambda owner: Owner.HANDS_OVER if owner == "second" else Owner.OTHER)
    old.until("all are subscribed", lambda: connections(stand_in) == 3)
    stand_in.wait_until_subscribed(*SYMBOLS.values(), timeout_s=60)
    stand_in.send_exactly(100, timeout_s=60)
    new = make("second", lambda owner: Owner.HANDS_OVER if owner == "first" else Owner.OTHER)

    def both() -> bool:
        new.goes_on = new.group.look()
        return all(old.rest(name) is Rest.HANDED_OVER for name in NAMES)

    old.until("all are handed over", both)
    assert not old.group.look(), "its run ends"
    assert all(new.rest(name) is None for name in NAMES)
    stand_in.send_exactly(100, timeout_s=60)
    new.until("all are stored once", lambda: sum(stored(database).values()) == stand_in.account().ticks == 200)


class Hanging(Ingestion):
    """An ingestion that stands still once it has its lease."""

    awake = threading.Event()

    def _stream(self, ownership: Any) -> None:
        self.awake.wait(PATIENCE)


def test_a_feed_that_hangs_is_started_again(
    make: Maker, stand_in: StandIn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "DEAD_AFTER", 1.5)
    kinds = iter([Hanging])
    make.kind = lambda name: next(kinds, Ingestion) if name == "chips" else Ingestion
    driven = make()
    try:
        driven.until("all are subscribed", lambda: connections(stand_in) == 3)
        assert any("feed 'chips' has sent no heartbeat" in message for message in driven.said)
        assert not any("'apples'" in message or "'coins'" in message for message in driven.said)
        stand_in.wait_until_subscribed(*SYMBOLS.values(), timeout_s=60)
        stand_in.send_exactly(50, timeout_s=60)
        driven.until("all are stored", lambda: stored(database) == by_feed(stand_in))
    finally:
        Hanging.awake.set()
