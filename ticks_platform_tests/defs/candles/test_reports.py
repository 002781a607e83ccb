"""Candles and ticks report by themselves, and what is made of them is told which buckets have changed."""

from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import dagster as dg
import pytest

from ticks_platform import changed_buckets
from ticks_platform.defs.candles.report_state import PERIOD, Reported, State
from ticks_platform.defs.candles.reporting import Reporter, Settings
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.candles import reports as candle_reports
from ticks_platform.timescale.database import Database

SETTINGS = Settings(feeds=["stocks"], symbols=["MSFT", "AAPL"])


def insert_tick(
    database: Database, at: datetime, symbol: str = "AAPL", price: float = 10.0, *, live: bool = False
) -> None:
    """A tick, counted in its hour as the loader does it; live: when it happened, or else now."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stocks', 'twelve_data', true)
            ON CONFLICT DO NOTHING;
            INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at)
            VALUES (%(at)s, %(symbol)s, %(price)s, 0.1, gen_random_uuid(), 'stocks', coalesce(%(loaded)s, now()));
            INSERT INTO ticks_platform.feed_hour AS counted
                (feed, destination, hour, loaded, last_received_at, counted_since, changed_at)
            SELECT 'stocks', 'stocks_real_time', time_bucket('1 hour', %(at)s::timestamptz), 1,
                coalesce(%(loaded)s, now()), clock_timestamp(), coalesce(%(loaded)s, clock_timestamp())
            ON CONFLICT (feed, destination, hour) DO UPDATE
            SET loaded = counted.loaded + 1, changed_at = greatest(counted.changed_at, excluded.changed_at)
            """,
            {"at": at, "symbol": symbol, "price": price, "loaded": at if live else None},
        )


class Reports:
    """The sensor's evaluations, one after the other, at a time that the test sets."""

    def __init__(self, database: Database) -> None:
        self._began = datetime.now(timezone.utc)
        self.now = self._began.timestamp()
        self.notes: list[str] = []
        self._database = database
        self._cursor: str | None = None

    def minutes_ago(self, minutes: int) -> datetime:
        """A minute before that in which the test began, also when the next one has begun."""
        return self._began.replace(second=0, microsecond=0) - timedelta(minutes=minutes)

    def hours_ago(self, hours: int) -> datetime:
        """An hour before that in which the test began."""
        return self._began.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)

    def align(self) -> None:
        """To just after a report of minutes: the next one is due in four minutes."""
        self.now += PERIOD - self.now % PERIOD

    def after(self, seconds: float) -> dict[str, dg.AssetMaterialization]:
        """By asset, what is reported some seconds later."""
        self.now += seconds
        state = State.load(self._cursor)
        reporter = Reporter(self._database, SETTINGS, state, self.now)
        reporter.report()
        self._cursor, self.notes = state.dump(), reporter.notes
        keys = [event.asset_key.to_user_string() for event in reporter.events]
        assert len(keys) == len(set(keys))
        return dict(zip(keys, reporter.events, strict=True))


@pytest.fixture
def reports(database: Database) -> Reports:
    return Reports(database)


def shown(event: dg.AssetMaterialization, name: str) -> Any:
    return event.metadata[name].value


def changed(event: dg.AssetMaterialization) -> list[list[str]]:
    found = event.metadata["changed buckets"]
    assert isinstance(found, dg.JsonMetadataValue)
    assert isinstance(found.data, list)
    return found.data


def span(begin: datetime, width: timedelta = timedelta(hours=1)) -> list[str]:
    return [f"{moment:%Y-%m-%dT%H:%MZ}" for moment in (begin, begin + width)]


def test_minutes_report_once_the_first_is_closed_and_every_few_minutes(database: Database, reports: Reports) -> None:
    assert reports.after(0) == {}
    assert "one_minute_candle: no closed minute yet" in reports.notes
    reports.align()
    insert_tick(database, reports.minutes_ago(3), "MSFT", 20.5, live=True)
    for symbol in ("AAPL", "NVDA"):
        insert_tick(database, reports.minutes_ago(2), symbol, live=True)
        insert_tick(database, reports.minutes_ago(2) + timedelta(seconds=5), symbol, 11.25, live=True)
    begin = reports.minutes_ago(3)
    first = reports.after(15)
    made = first["one_minute_candle"]
    assert (shown(made, "symbols"), shown(made, "MSFT close")) == (3, 20.5)
    assert shown(made, "AAPL close") in (10.0, 11.25), "by the ids of ticks, which are random here"
    assert shown(made, "state") == "no feed is running"
    assert "dagster/column_schema" in made.metadata, "its page shows columns"
    lines = shown(made, "newest candles").splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| MSFT", "| AAPL", "| NVDA"], "those of feeds.yaml first"
    assert [name for name in made.metadata if name.startswith("chart of")] == ["chart of MSFT", "chart of AAPL"]
    texts = [value.value for value in made.metadata.values() if isinstance(value, dg.MarkdownMetadataValue)]
    assert all(len(text or "") < 1000 for text in texts), "else they are behind a button"
    image = ElementTree.fromstring(unquote(shown(made, "chart of AAPL").partition("svg+xml,")[2].rstrip(")")))
    newest = begin + timedelta(minutes=1)
    assert image.findtext("{*}text") == f"{newest:%H:%M} to {newest + timedelta(minutes=1):%H:%M} UTC"
    assert "changed buckets" not in made.metadata, "all of them"
    assert "| stocks | never ran |" in shown(first["stocks_real_time"], "feeds")
    coarse = [set(found) & {"one_hour_candle", "one_day_candle"} for found in (first, reports.after(60))]
    assert sorted(map(len, coarse)) == [0, 2], "once, while they are open"
    # Nothing is new, which is said once.
    made = reports.after(PERIOD)["one_minute_candle"]
    assert shown(made, "state") == f"nothing new since {newest:%Y-%m-%d %H:%M} UTC: no feed is running"
    # In the first minutes of an hour, these ticks came after the end of theirs.
    assert changed(made) == [] or begin < reports.hours_ago(0)
    assert reports.after(PERIOD) == {}
    insert_tick(database, newest + timedelta(minutes=1), "MSFT", live=True)
    assert changed(reports.after(PERIOD)["one_minute_candle"]) == [
        span(newest + timedelta(minutes=1), timedelta(minutes=1))
    ]


def test_what_a_repair_fetched_is_no_reconnect(database: Database, reports: Reports) -> None:
    insert_tick(database, reports.minutes_ago(3))
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed_ledger (feed, epoch, connection, first_received_at, last_received_at,
                frames, events, loaded, duplicate, rejected, control)
            SELECT 'stocks', 1, connection, now(), now(), 1, 1, 1, 0, 0, 0 FROM generate_series(0, 2) AS connection
            """
        )
    metadata = reports.after(0)["stocks_real_time"].metadata
    assert metadata["reconnects of the last day"].value == 1


def test_while_the_next_minute_lasts_nobody_says_that_nothing_is_new(database: Database) -> None:
    while True:
        reports = Reports(database)
        reports.align()
        insert_tick(database, reports.minutes_ago(1))
        states = [shown(reports.after(seconds)["one_minute_candle"], "state") for seconds in (0, PERIOD)]
        if Reports(database).minutes_ago(1) == reports.minutes_ago(1):
            break  # or else that minute was over
    assert states == ["no feed is running"] * 2


def test_hours_report_once_closed_and_again_when_corrected(database: Database, reports: Reports) -> None:
    reports.align()
    hour = reports.hours_ago(3)
    insert_tick(database, hour + timedelta(minutes=5))
    made = reports.after(0)["one_hour_candle"]
    assert (made.tags or {})["ticks/newest_bucket"] == f"{hour:%Y-%m-%dT%H.%MZ}"
    assert reports.after(60) == {}, "nothing has changed"
    insert_tick(database, hour + timedelta(minutes=6), price=50.0)
    found = reports.after(60)
    made = found["one_hour_candle"]
    assert changed(made) == [span(hour)]
    assert shown(made, "corrected buckets") == 1
    assert "one_minute_candle" not in found
    minutes = reports.after(PERIOD)["one_minute_candle"]
    assert changed(minutes) == [[f"{hour:%Y-%m-%dT%H:%MZ}", f"{hour + timedelta(minutes=7):%Y-%m-%dT%H:%MZ}"]]
    insert_tick(database, reports.hours_ago(2) + timedelta(minutes=6))
    made = reports.after(60)["one_hour_candle"]
    assert changed(made) == [span(reports.hours_ago(2))]
    assert shown(made, "corrected buckets") == 0


def test_hours_beyond_the_policies_report_when_their_late_ticks_are_refreshed(
    database: Database, reports: Reports
) -> None:
    hour = reports.hours_ago(50)
    insert_tick(database, reports.hours_ago(2))
    with database.autocommit() as cursor:
        late_ticks.refresh(cursor)
    reports.after(0)
    insert_tick(database, hour + timedelta(minutes=7))
    with database.transaction() as cursor:
        # By hand, in an hour of its own: nobody counts it.
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'AAPL', 12)", (hour + timedelta(hours=3),)
        )
    with database.autocommit() as cursor:
        late_ticks.refresh(cursor)
    made = reports.after(60)["one_hour_candle"]
    assert changed(made) == [span(hour), span(hour + timedelta(hours=3))]
    assert "one_hour_candle" not in reports.after(60), "once"


def test_the_sensor_skips_while_nothing_is_there_or_the_database_is_away(
    platform: dg.Definitions, instance: dg.DagsterInstance, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = platform.resolve_sensor_def("report_newest")

    def evaluate(database: Any) -> dg.SensorResult:
        with dg.build_sensor_context(instance=instance, resources={"ticks_database": database}) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    resource = (platform.resources or {})["ticks_database"]
    missing = evaluate(resource)
    assert missing.asset_events == []
    assert "one_minute_candle: not created yet" in str(missing.skip_reason)
    away = evaluate(type(resource)(url="postgresql://nobody@127.0.0.1:9/nothing"))
    assert away.asset_events == []
    assert "the database cannot be reached" in str(away.skip_reason)


def test_what_is_made_of_a_candle_is_told_which_buckets_changed() -> None:
    told: list[Any] = []

    @dg.asset(deps=["one_hour_candle"])
    def mine(context: dg.AssetExecutionContext) -> None:
        told.append(changed_buckets(context, "one_hour_candle"))

    @dg.asset
    def one_hour_candle() -> None: ...

    hour = datetime(2026, 3, 2, 14, tzinfo=timezone.utc)

    def report(instance: dg.DagsterInstance, *hours: int) -> None:
        spans = [span(hour + timedelta(hours=number)) for number in hours]
        metadata = {"changed buckets": dg.MetadataValue.json(spans)}
        instance.report_runless_asset_event(dg.AssetMaterialization("one_hour_candle", metadata=metadata))

    with dg.DagsterInstance.ephemeral() as instance:

        def run() -> Any:
            assert dg.materialize([mine, one_hour_candle], instance=instance, selection=[mine]).success
            return told.pop()

        report(instance, 0)
        assert run() is None, "it was never made"
        assert run() == []
        report(instance, 1)
        report(instance, 2, 5)
        assert run() == [
            (hour + timedelta(hours=1), hour + timedelta(hours=3)),
            (hour + timedelta(hours=5), hour + timedelta(hours=6)),
        ]
        report(instance, 1)
        dg.materialize([one_hour_candle], instance=instance)
        assert run() is None, "somebody has refreshed all of it"


def test_what_is_remembered_is_small_and_survives() -> None:
    state = State()
    hours = [datetime(2026, 3, 2, hour, tzinfo=timezone.utc) for hour in range(13)]
    state.of("one_hour_candle").changes({hour: str(hour.hour) for hour in hours[1:]}, oldest=hours[0])
    assert len(state.dump()) < 500
    assert State.load(state.dump()) == state
    assert State.load("[1]") == State.load('{"a": {"b": 1}}') == State.load(None) == State()
    assert Reported(materialized=240.0).is_due(479.0) is False
    assert Reported(materialized=240.0).is_due(480.0)


def test_a_clock_that_is_set_back_silences_no_report(database: Database, reports: Reports) -> None:
    """A machine that starts with the year 2030, until its clock is set."""
    insert_tick(database, reports.hours_ago(2))
    insert_tick(database, reports.minutes_ago(3))
    real = reports.now
    reports.now += 4 * 365 * 86_400
    assert {"one_minute_candle", "one_hour_candle"} <= reports.after(0).keys()
    insert_tick(database, reports.minutes_ago(2))
    insert_tick(database, reports.hours_ago(2), price=50.0)
    reports.now = real
    assert {"one_minute_candle", "one_hour_candle"} <= reports.after(0).keys()


def test_an_hour_that_loses_its_last_candle_has_changed(database: Database, reports: Reports) -> None:
    reports.align()
    for hour in (2, 3):
        insert_tick(database, reports.hours_ago(hour) + timedelta(minutes=5))
    reports.after(0)
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM stocks_real_time WHERE time < %s", (reports.hours_ago(2),))
    assert changed(reports.after(60)["one_hour_candle"]) == [span(reports.hours_ago(3))]
    assert "one_hour_candle" not in reports.after(60)


def refresh(database: Database) -> None:
    with database.autocommit() as cursor:
        late_ticks.refresh(cursor)


def test_a_history_without_anything_new_reports_what_changed(database: Database, reports: Reports) -> None:
    hour = reports.hours_ago(24 * 30)
    reports.after(0)
    insert_tick(database, hour + timedelta(minutes=5))
    refresh(database)
    assert changed(reports.after(60)["one_hour_candle"]) == [span(hour)]


def test_where_more_changed_than_is_looked_at_all_may_have(
    database: Database, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candle_reports, "MOST_REFRESHED", 4)
    reports.after(0)
    for hour in range(50, 56):
        insert_tick(database, reports.hours_ago(hour) + timedelta(minutes=5))
    refresh(database)
    assert "changed buckets" not in reports.after(60)["one_hour_candle"].metadata
