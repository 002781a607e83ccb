"""Grafana's dashboards: every panel's SQL is run on the database, with its macros expanded as Grafana does it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ticks_platform.paths import project_root
from ticks_platform.timescale.database import Database

GRAFANA = project_root() / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
DASHBOARDS = [path for path in FILES if path.stem != "prometheus"]
"""Those that ask the database; test_prometheus.py has the other one."""
VARIABLES = {"symbol": "'AAPL','O''X'", "feed": "'stocks','crypto'"}
FROM, TO = "now() - INTERVAL '1 day'", "now() + INTERVAL '1 minute'"
EXPECTED = {
    "candlestick": {"time", "open", "high", "low", "close"},
    "timeseries": {"time", "metric"},
}
"""Columns that a kind of panel cannot do without."""

DATA = """
INSERT INTO company VALUES ('AAPL', 'Apple');
INSERT INTO ticks_platform.feed VALUES ('stocks', 'twelve_data', true);
INSERT INTO ticks_platform.feed_lease VALUES ('stocks', 1, 'a run', now(), now());
INSERT INTO ticks_platform.feed_checkpoint (feed, journal_id, position, frames, frames_before, committed_at)
VALUES ('stocks', gen_random_uuid(), 100, 10, 0, now());
INSERT INTO ticks_platform.feed_ledger VALUES ('stocks', 1, 1, now(), now(), 10, 10, 8, 0, 0, 1, 1);
INSERT INTO ticks_platform.feed_hour
VALUES ('stocks', 'stocks_real_time', date_trunc('hour', now()), 8, now(), now(), now());
INSERT INTO ticks_platform.feed_session VALUES ('stocks', 1, 1, now(), 'streaming', 'ok');
INSERT INTO ticks_platform.feed_channel VALUES ('stocks', 'AAPL', 'subscribed', now(), '');
INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, cause) VALUES ('stocks', 'AAPL', now(), 'stopped');
INSERT INTO ticks_platform.rejected_event
SELECT 'stocks', journal_number, 5, now(), 'no price', '\\x7b00ff' FROM ticks_platform.feed_checkpoint;
INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at, updates)
SELECT at, 'AAPL', 100, 5, gen_random_uuid(), 'stocks', at, CASE WHEN extract(minute FROM at)::int % 2 = 0 THEN 4 END
FROM generate_series(now() - INTERVAL '2 hours', now(), INTERVAL '1 minute') AS at;
"""


def expand(query: str, variables: dict[str, str]) -> str:
    """As Grafana's PostgreSQL data source does it with TimescaleDB switched on."""
    query = re.sub(r"\$__interval_ms\b", "60000", query)
    query = re.sub(r"\$__interval\b", "1m", query)
    query = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN {FROM} AND {TO}", query)
    query = re.sub(r"\$__timeGroup\(([^,)]+), *'?1m'?\)", r"time_bucket('60.000s', \1)", query)
    for name, value in variables.items():
        query = re.sub(rf"\$\{{{name}:sqlstring\}}|\${name}\b", lambda _, value=value: value, query)
    assert "$" not in query, f"not expanded: {query}"
    return query


def dashboard(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def panels() -> Iterator[Any]:
    for path in FILES:
        for panel in dashboard(path)["panels"]:
            yield pytest.param(panel, dashboard(path), id=f"{path.stem}-{panel['title']}")


def sources() -> list[dict[str, Any]]:
    file = GRAFANA / "provisioning/datasources/ticks.yaml"
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]
    return found


@pytest.fixture
def filled(database: Database) -> Database:
    with database.transaction() as cursor:
        cursor.execute(DATA)
    return database


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_shows_something(filled: Database, path: Path) -> None:
    found = dashboard(path)
    intervals = [
        option["value"]
        for variable in found["templating"]["list"]
        if variable["name"] == "interval"
        for option in variable["options"]
    ]
    for panel, interval in itertools.product(found["panels"], intervals or [""]):
        for target in panel["targets"]:
            with filled.transaction() as cursor:
                cursor.execute(expand(target["rawSql"], {**VARIABLES, "interval": interval}))
                names = {column.name for column in cursor.description or ()}
                rows = cursor.fetchall()
            assert rows, panel["title"]
            assert names >= EXPECTED.get(panel["type"], set()), panel["title"]


def test_buckets_without_prices_are_shown_with_their_volume(filled: Database) -> None:
    (panel,) = (panel for path in DASHBOARDS for panel in dashboard(path)["panels"] if panel["type"] == "candlestick")
    (target,) = panel["targets"]
    with filled.transaction() as cursor:
        cursor.execute(expand(target["rawSql"], {**VARIABLES, "interval": "one_minute_candle"}))
        found = {row[1:] for row in cursor.fetchall()}
    assert found == {(100, 100, 100, 100, 5), (None, None, None, None, 5)}


@pytest.mark.parametrize("interval", ["one_minute_candle", "one_hour_candle", "one_day_candle"])
def test_a_feed_without_sizes_has_volume_bars(database: Database, interval: str) -> None:
    """Twelve Data sends the day's volume so far, as the stand-in does."""
    width = f"INTERVAL '1 {interval.split('_')[1]}'"
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, day_volume, tick_id, feed, received_at) "
            "SELECT at, 'AAPL', 100, volume, gen_random_uuid(), 'stocks', at FROM (SELECT now() - INTERVAL '10 days' "
            f"+ place * {width} AS at, volume FROM unnest(ARRAY[100, 130, 20, 25]) WITH ORDINALITY AS v (volume, place)"
            ") AS ticks"
        )
        (panel,) = (
            panel for path in DASHBOARDS for panel in dashboard(path)["panels"] if panel["type"] == "candlestick"
        )
        query = expand(panel["targets"][0]["rawSql"], {**VARIABLES, "interval": interval})
        cursor.execute(query.replace(FROM, "now() - INTERVAL '20 days'"))
        volumes = [row[-1] for row in cursor.fetchall()]
    assert volumes == ([100, 130, 20, 25] if interval == "one_day_candle" else [None, 30, 20, 5])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_variables_offer_something(filled: Database, path: Path) -> None:
    for variable in dashboard(path)["templating"]["list"]:
        if variable["type"] == "query":
            with filled.transaction() as cursor:
                cursor.execute(expand(variable["query"], {}))
                assert cursor.fetchall(), variable["name"]
        else:
            wanted = ", ".join(f"{option['text']} : {option['value']}" for option in variable["options"])
            assert variable["query"] == wanted


@pytest.mark.parametrize(("panel", "of"), list(panels()))
def test_panels_are_whole(panel: dict[str, Any], of: dict[str, Any]) -> None:
    """Every one has a provisioned source; its variables are declared; none lies on another."""
    assert panel["datasource"] in [{"type": source["type"], "uid": source["uid"]} for source in sources()]
    declared = {variable["name"] for variable in of["templating"]["list"]}
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        used = {
            name
            for name in re.findall(r"\$\{?(\w+)", target.get("rawSql") or target["expr"])
            if not name.startswith("__")
        }
        assert used <= declared
    assert [other["id"] for other in of["panels"]].count(panel["id"]) == 1
    mine = cells(panel)
    assert all(not mine & cells(other) for other in of["panels"] if other["id"] != panel["id"])


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    grid = panel["gridPos"]
    assert grid["x"] + grid["w"] <= 24
    return set(itertools.product(range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])))


def test_there_are_dashboards() -> None:
    assert {path.stem for path in FILES} == {"market", "ingestion", "prometheus"}
    assert len({dashboard(path)["uid"] for path in FILES}) == len(FILES)


def test_no_secret_is_in_the_files() -> None:
    source, prometheus = sources()
    assert prometheus["url"] == "${TICKS_GRAFANA_PROMETHEUS}"
    for value in (source["url"], source["user"], source["secureJsonData"]["password"], source["jsonData"]["database"]):
        assert re.fullmatch(r"\$\{TICKS_GRAFANA_\w+\}", value)


def test_what_is_not_expanded_is_found() -> None:
    with pytest.raises(AssertionError, match="not expanded"):
        expand("SELECT $__unixEpochFilter(time)", VARIABLES)
