"""Repair in Dagster: the assets, the sensor that launches it, candles with bars in them, and the check against bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
import yaml

from ticks_platform.defs.gaps.repair_gaps import REPAIR_TAG
from ticks_platform.local_feeds import stand_in_file
from ticks_platform.timescale.candles import candles, reconciliation
from ticks_platform.timescale.candles.candles import ONE_HOUR
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import WARN, CheckOne, examples, number
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import (
    KEY,
    MINUTE,
    add_gap,
    load_live,
    manual_stand_in,
    minutes_ago,
    polygon,
    twelve_data,
)
from ticks_standin import StandIn, daemon

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """It has traded AAPL and MSFT from 40 to 20 minutes ago, by both protocols, unheard: 5 trades of each a minute."""
    with manual_stand_in(traded=["T.AAPL", "price.MSFT"]) as server:
        server.trade_unheard(200, minutes_ago(40), minutes_ago(20))
        yield server


@pytest.fixture
def project(project: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a feed of trades, one of prices, one of the shipped kind, and one that has no history."""
    monkeypatch.setenv(KEY, "demo")
    feeds: dict[str, Any] = {}
    for feed in (polygon(stand_in, past_hours=2), twelve_data(stand_in, symbols=["MSFT"])):
        feeds[feed.name] = {
            name: value
            for name, value in feed.model_dump(mode="json", exclude_unset=True).items()
            if name not in ("name", "symbols")
        } | {"symbols": list(feed.symbol_names())}
    # A symbol has one feed that makes its candles.
    feeds["demo"] = {"provider": "twelve_data", "endpoint": "stand-in", "symbols": ["MSFT"], "candles": False}
    feeds["quotes"] = {**feeds["tape"], "options": {"channels": ["Q"]}, "repair": feeds["stocks"]["repair"]}
    (project / "feeds.yaml").write_text(yaml.safe_dump({"feeds": feeds}), encoding="utf-8")
    return project


@pytest.fixture
def folder(project: Path) -> Path:
    """Where the journals of the feeds are."""
    return project / "state" / "journal"


@pytest.fixture
def tick_sensor(platform: dg.Definitions, instance: dg.DagsterInstance) -> Callable[[], Any]:
    """Lets the sensor look."""

    def tick() -> Any:
        with dg.build_sensor_context(
            instance=instance, repository_def=platform.get_repository_def(), resources=platform.resources
        ) as context:
            return platform.resolve_sensor_def("repair_gaps").evaluate_tick(context)

    return tick


def materialized(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """The metadata of an asset that a run has materialized."""
    assert result.success
    made = {each.asset_key.to_user_string(): each for each in _materializations(result)}
    return {name: value.value for name, value in made[asset].metadata.items()}


def _materializations(result: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    return [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION
    ]


def test_gaps_of_a_feed_with_trades(
    database: Database, stand_in: StandIn, folder: Path, run_job: Run, tick_sensor: Callable[[], Any]
) -> None:
    """Launched by the sensor once, and afterwards all candles are those of the ticks, which are all that there were."""
    feed = polygon(stand_in)
    made = stand_in.made("T.AAPL", payloads=True).events
    begin, end = minutes_ago(35) + timedelta(seconds=20), minutes_ago(30) + timedelta(seconds=20)
    missed = [event for event in made if begin.timestamp() <= event.made_ms / 1000 < end.timestamp()]
    load_live(database, feed, [event for event in made if event not in missed], folder)
    with database.autocommit() as cursor:
        for candle in candles.CANDLES:
            candles.refresh_history(cursor, candle)
    assert "tape: nothing to repair" in tick_sensor().skip_message
    add_gap(database, feed, "AAPL", begin, end)
    (request,) = tick_sensor().run_requests
    assert (request.partition_key, request.tags[REPAIR_TAG]) == ("tape", "tape")

    result = run_job("repair", "tape")
    found = materialized(result, "gap_repair")
    assert found["gaps repaired"] == 1
    shown = materialized(result, "feed_gaps")
    assert (shown["gaps open"], shown["gaps repaired, 24 hours"]) == (0, 1)
    assert found["rows in repaired gaps"] == len(missed)
    assert found["requests in the last 24 hours"] == 1
    assert found["candles compared"] > 19
    assert found["candles that differ from their ticks"] == 0
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(len(made),)]
    assert unbalanced(database) == []
    with database.autocommit() as cursor:
        assert reconciliation.reconcile(cursor, window=timedelta(hours=3)).found.differing == 0
        assert reconciliation.reconcile_levels(cursor, ONE_HOUR).found.differing == 0
    assert rows(database, "SELECT DISTINCT source FROM one_minute_candle_filled") == [("ticks",)]
    assert "tape: nothing to repair" in tick_sensor().skip_message


def test_gaps_of_a_feed_without_trades(database: Database, stand_in: StandIn, folder: Path, run_job: Run) -> None:
    """The provider's bars stand in the minutes of the gap, and in no other one; the candles themselves are ours."""
    feed = twelve_data(stand_in, symbols=["MSFT"])
    made = stand_in.made("price.MSFT", payloads=True).events
    minute = minutes_ago(35)
    begin, end = minute + timedelta(seconds=20), minute + timedelta(minutes=3, seconds=20)
    missed = [event for event in made if begin.timestamp() <= event.made_ms / 1000 < end.timestamp()]
    load_live(database, feed, [event for event in made if event not in missed], folder)
    add_gap(database, feed, "MSFT", begin, end)
    found = materialized(run_job("repair", "stocks"), "gap_repair")
    assert (found["gaps repaired"], found["rows in repaired gaps"], found["days refreshed"]) == (1, 4, 0)
    filled = rows(
        database,
        "SELECT bucket, source, open, high, low, close, tick_count FROM one_minute_candle_filled ORDER BY bucket",
    )
    assert len(filled) == 20
    in_gap = [minute + count * MINUTE for count in range(4)]
    assert [row[0] for row in filled if row[1] == "bars"] == in_gap
    bars = rows(
        database,
        "SELECT start_time, 'bars', open_price, high_price, low_price, close_price, NULL FROM stock_aggregates "
        "ORDER BY start_time",
    )
    assert [row for row in filled if row[1] == "bars"] == bars
    # What the provider says of these minutes is what its prices were.
    for bucket, _, opened, high, low, closed, _ in bars:
        prices = [
            event.decoded()["price"]
            for event in made
            if bucket.timestamp() <= event.time_ns / 1e9 < (bucket + MINUTE).timestamp()
        ]
        assert (opened, high, low, closed) == pytest.approx((prices[0], max(prices), min(prices), prices[-1]))
    assert len(rows(database, "SELECT FROM one_minute_candle")) == 18, "two of four minutes have ticks of their own"


def test_feed_without_a_history(database: Database, run_job: Run, stand_in: StandIn) -> None:
    feed = polygon(stand_in).model_copy(update={"name": "quotes"})
    add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(10))
    assert run_job("repair", "quotes").success
    ((state, detail),) = rows(database, "SELECT state, detail FROM ticks_platform.feed_gap")
    assert (state, "offers no history" in detail) == ("unrepairable", True)


def test_gaps_of_the_shipped_kind_of_feed(
    database: Database,
    project: Path,
    stand_in: StandIn,
    run_job: Run,
    tick_sensor: Callable[[], Any],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its stand-in is asked, which outlives the runs: for what it has made itself, and only while it is there."""
    feed = twelve_data(stand_in, symbols=["MSFT"]).model_copy(update={"name": "demo"})
    add_gap(database, feed, "MSFT", minutes_ago(45), minutes_ago(39))
    add_gap(database, feed, "MSFT", minutes_ago(35), minutes_ago(32) + timedelta(seconds=1))
    assert "which has not been started" in tick_sensor().skip_message
    started_ns = requests.get(f"{stand_in.http_url}/health", timeout=60).json()["started_ns"]
    file = stand_in_file("demo")
    file.parent.mkdir(parents=True)
    port = int(stand_in.http_url.rpartition(":")[2])
    daemon.announce(file, daemon.Announcement("127.0.0.1", port, started_ns - 1, []))
    assert "which has not been started" in tick_sensor().skip_message, "another one has its port"
    daemon.announce(file, daemon.Announcement("127.0.0.1", port, started_ns, []))
    (request,) = tick_sensor().run_requests
    assert request.partition_key == "demo"
    assert materialized(run_job("repair", "demo"), "gap_repair")["gaps repaired"] == 1
    ((early, reason), (late, _)) = rows(
        database, "SELECT state, detail FROM ticks_platform.feed_gap ORDER BY begins_at"
    )
    assert (early, late) == ("unrepairable", "repaired")
    assert "1 gaps cannot be repaired, since the provider's history does not reach them" in capfd.readouterr().err
    assert "history begins at" in reason, "no bars would be a lie: prices were made then, by another one"
    bars = "SELECT start_time FROM stock_aggregates WHERE feed = 'demo' ORDER BY 1"
    assert rows(database, bars) == [(minutes_ago(count),) for count in (35, 34, 33, 32)]
    # It makes no candles, so it fills none.
    assert rows(database, "SELECT count(*) FROM one_minute_candle_filled WHERE source = 'bars'") == [(0,)]


def test_hours_before_a_symbol_was_added_are_proven_by_the_repair(
    database: Database, project: Path, stand_in: StandIn, folder: Path, run_job: Run, tick_sensor: Callable[[], Any]
) -> None:
    """Without waiting for the checks; and only once it has received the rest of its hour."""
    added = minutes_ago(20)
    first = added.replace(minute=0) - timedelta(hours=2)
    with manual_stand_in(traded=["T.AAPL"]) as past:
        past.trade_unheard(200, first, added)
        file = project / "feeds.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace(stand_in.http_url[7:], past.http_url[7:]), "utf-8")
        load_live(database, polygon(past), [], folder)
        with database.transaction() as cursor:
            cursor.execute("UPDATE ticks_platform.feed_lease SET released_at = now()")
            cursor.execute(
                "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
                "VALUES ('tape', 'AAPL', %s, 'always')",
                (added,),
            )
            cursor.execute(
                "INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, epoch, connection) "
                "VALUES ('tape', 'AAPL', %s, 1, 1)",
                (added + timedelta(seconds=1),),
            )
        (request,) = tick_sensor().run_requests
        assert request.partition_key == "tape"
        assert run_job("repair", "tape").success
    hours = rows(database, "SELECT bucket, proof FROM proven_candle WHERE every = '1h' ORDER BY bucket")
    assert hours[:2] == [(first, "proven"), (first + timedelta(hours=1), "proven")]


def test_days_by_hand(database: Database, project: Path, stand_in: StandIn, run_job: Run) -> None:
    day = minutes_ago(0).replace(hour=0, minute=0) - timedelta(days=3)
    with manual_stand_in(traded=["T.AAPL"]) as past:
        past.trade_unheard(50, day + timedelta(hours=15), day + timedelta(hours=16))
        file = project / "feeds.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace(stand_in.http_url[7:], past.http_url[7:]), "utf-8")
        config = {"feed": "tape", "first_day": f"{day:%Y-%m-%d}"}
        for _ in range(2):
            assert run_job("fetch_history", run_config=config).success
        assert len(past.requests()) == 1, "no day is fetched twice"
    assert rows(database, "SELECT count(*), sum(tick_count)::int FROM one_hour_candle") == [(1, 50)]


def test_sensor_waits(
    database: Database,
    stand_in: StandIn,
    folder: Path,
    tick_sensor: Callable[[], Any],
    platform: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed = polygon(stand_in)
    load_live(database, feed, [], folder)
    add_gap(database, feed, "AAPL", minutes_ago(35), minutes_ago(30))
    assert len(tick_sensor().run_requests) == 1
    monkeypatch.delenv(KEY)
    assert f"put {KEY}=… into" in tick_sensor().skip_message
    monkeypatch.setenv(KEY, "demo")
    job = platform.resolve_job_def("repair")
    run = instance.create_run_for_job(job, tags={REPAIR_TAG: "tape"})
    assert "tape: being repaired" in tick_sensor().skip_message
    instance.report_run_failed(run, "for the test")
    assert len(tick_sensor().run_requests) == 1, "one failure may happen"
    for _ in range(3):
        instance.report_run_failed(instance.create_run_for_job(job, tags={REPAIR_TAG: "tape"}), "for the test")
    assert "crash loop; retrying in" in tick_sensor().skip_message


@pytest.mark.parametrize(("factor", "problem"), [(1.0, None), (1 + 1e-12, None), (1.005, "volumes differ")])
def test_check_against_bars(
    database: Database, stand_in: StandIn, folder: Path, check_one: CheckOne, factor: float, problem: str | None
) -> None:
    """Bars of the same minutes, of which the volume of one is multiplied; a minute in a gap is not judged."""
    feed = polygon(stand_in)
    load_live(database, feed, stand_in.made("T.AAPL", payloads=True).events, folder)
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO stock_aggregates
            SELECT symbol, bucket, bucket + INTERVAL '1 minute', open, high, low, close,
                volume / CASE WHEN bucket = %(one)s THEN %(factor)s WHEN bucket = %(gap)s THEN 0.1 ELSE 1 END,
                NULL, 'tape', now()
            FROM one_minute_candle
            """,
            {"one": minutes_ago(30), "gap": minutes_ago(25), "factor": factor},
        )
    add_gap(database, feed, "AAPL", minutes_ago(25), minutes_ago(25) + timedelta(seconds=1))
    evaluation = check_one("candles_equal_bars")
    assert evaluation.severity is WARN
    assert evaluation.passed is (problem is None)
    assert number(evaluation, "minutes") == 18, "of twenty, the first has no candle before it, and one is in a gap"
    assert (number(evaluation, "share of ticks") < 1) is (factor < 1)
    if problem:
        (example,) = examples(evaluation)
        assert (example["problem"], example["symbol"]) == (problem, "AAPL")
