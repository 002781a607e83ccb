"""Planned hand-overs between machines, which have no disk in common: no gap, and each event once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import audit, heard_journals
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.ingestion.handover.handover import HandoverFailedError
from ticks_platform.ingestion.handover.takeover import Takeover
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.field.relay import Relay
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.made_and_stored import WHOLE, unaccounted
from ticks_platform_tests.support.nats_servers import await_that
from ticks_standin import StandIn, StandInSettings

KEY = "TICKS_TEST_ACROSS_MACHINES_KEY"
FEEDS: dict[str, dict[str, Any]] = {
    "with_ids": {
        "provider": "polygon",
        "symbols": ["AAPL", "MSFT"],
        "options": {"market": "stocks", "channels": ["T"]},
    },
    "without_ids": {"provider": "twelve_data", "symbols": ["BTC/USD", "ETH/USD"]},
}


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A market of 400 ticks/s."""
    with StandIn(
        StandInSettings(rate=400, history_events=1_000_000, polygon_tape="plain", max_connections=9)
    ) as server:
        yield server


Machine = Callable[..., contextlib.AbstractContextManager[list[Ingestion]]]


@pytest.fixture
def machine(stand_in: StandIn, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """What ingests both feeds into a folder of its own, as the job `hand_over` starts it. It may have its own way to
    the database, and take the feeds over at once.
    """
    monkeypatch.setenv(KEY, "demo")

    def settings(name: str, own: dict[str, Any]) -> FeedSettings:
        endpoint = stand_in.url(own["provider"], key=None)
        common = {"name": name, "endpoint": endpoint, "synthetic_endpoint": True, "api_key_env": KEY, "overlap": True}
        calendar = {"calendar": "always", "hours": "always", "repair": {"enabled": False}}
        return FeedSettings.model_validate({**own, **common, **calendar})

    feeds = [settings(name, own) for name, own in FEEDS.items()]

    @contextlib.contextmanager
    def ingesting(name: str, own_way: Database = database, *, follow: bool = True) -> Iterator[list[Ingestion]]:
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(
                    Ingestion(
                        feed=feed,
                        connector=feed.connector(stand_in_url=None),
                        database=own_way,
                        owner=f"run on {name}",
                        journal_file=tmp_path / name / f"{feed.name}.sqlite3",
                        follow=follow,
                    )
                )
                for feed in feeds
            ]

    return ingesting


def await_loaded(database: Database) -> datetime:
    """Wait until of each feed is stored what arrives from now on; returns when that is."""
    since = datetime.now(timezone.utc)
    query = f"SELECT count(DISTINCT feed) FROM stocks_real_time WHERE received_at > '{since.isoformat()}'"
    await_that(lambda: rows(database, query) == [(len(FEEDS),)], "all feeds are stored")
    return since


def await_followed(before: list[Ingestion], after: list[Ingestion], database: Database) -> datetime:
    """Wait until the first machine has taken the feeds over as planned; returns a time of which all is stored."""
    assert all(each.wait(60) for each in before)
    assert {each.successor for each in before} == {"run on first"}
    ends = await_loaded(database)
    # Of a second, a provider that rounds its times sends what comes later, too.
    await_that(lambda: datetime.now(timezone.utc) > ends + WHOLE, "two seconds later")
    await_loaded(database)
    assert all(each.progress().loaded for each in after)
    return ends


def known_gaps(database: Database, begins: datetime, ends: datetime) -> list[tuple[Any, ...]]:
    """Symbol, begin, end and cause of the gaps of that time."""
    with database.transaction() as cursor:
        for feed in FEEDS:
            gaps.update(cursor, feed, now=datetime.now(timezone.utc))
    return rows(
        database,
        "SELECT symbol, begins_at, ends_at, cause FROM ticks_platform.feed_gap "
        f"WHERE begins_at < '{ends.isoformat()}' AND coalesce(ends_at, 'infinity') > '{begins.isoformat()}'",
    )


@pytest.mark.full
def test_nothing_is_missed_and_each_event_is_stored_once(
    machine: Machine, stand_in: StandIn, database: Database
) -> None:
    with machine("first") as first:
        await_loaded(database)
        begins = await_loaded(database)
        with machine("second") as second:
            assert all(each.wait(60) for each in first)
            assert {each.successor for each in first} == {"run on second"}
            await_loaded(database)
            # Back to the first machine, whose journals have an end already.
            with machine("first") as third:
                ends = await_followed(second, third, database)
    assert known_gaps(database, begins, ends) == []
    with database.transaction() as cursor:
        assert heard_journals.elsewhere(cursor) == []
    assert unaccounted(stand_in, database, begins, ends) == []
    assert not unbalanced(database)


@pytest.mark.full
def test_a_machine_that_comes_back_with_frames_gets_its_feeds_back_without_a_gap(
    machine: Machine, stand_in: StandIn, database: Database, tmp_path: Path
) -> None:
    """What waits on its disk is loaded first, and what another one has stored of that is not stored again."""
    with Relay(database.url()) as relay, contextlib.ExitStack() as others:
        with contextlib.ExitStack() as lost:
            # The network is back after the machine has ended.
            cut = lost.enter_context(contextlib.ExitStack())
            first = lost.enter_context(machine("first", Database(relay.url)))
            await_loaded(database)
            begins = await_loaded(database)
            cut.enter_context(relay.cut())
            await_that(lambda: all(each.progress().waiting_bytes > 20_000 for each in first), "frames wait")
            second = others.enter_context(machine("second", follow=False))
            await_loaded(database)
        with database.autocommit() as cursor:
            for feed in FEEDS:
                account = audit.journal_account(cursor, feed, tmp_path / "first" / f"{feed}.sqlite3")
                assert account is not None
                assert account.waiting
        back = await_loaded(database)
        with machine("first") as third:
            ends = await_followed(second, third, database)
    assert known_gaps(database, back, ends) == []
    assert unaccounted(stand_in, database, begins, ends) == []
    assert not unbalanced(database)


@pytest.mark.full
def test_a_successor_that_ends_before_it_has_the_lease_leaves_the_feed_to_anybody(
    machine: Machine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The predecessor has stored what it had, and released the feed: nobody waits for a heartbeat to be missing."""

    def killed(*_arguments: object, **_options: object) -> None:
        raise HandoverFailedError("killed")

    with machine("first") as first:
        await_loaded(database)
        with monkeypatch.context() as patch:
            patch.setattr(Takeover, "follow", killed)
            with machine("second"):
                assert all(each.wait(60) for each in first)
        with database.transaction() as cursor:
            found = leases.statuses(cursor, list(FEEDS))
            assert [found[feed].released for feed in FEEDS] == [True, True]
            assert heard_journals.elsewhere(cursor) == []
    with machine("first"):
        await_loaded(database)
    assert not unbalanced(database)
