"""The asset `feed_gaps` and its check, as Dagster runs them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree

import dagster as dg

from ticks_platform.timescale.database import Database

GAPS = """
INSERT INTO ticks_platform.feed VALUES ('stocks', 'twelve_data', true), ('crypto', 'twelve_data', true);
INSERT INTO ticks_platform.feed_lease VALUES ('stocks', 1, 'a run', now(), now()), ('crypto', 1, 'a run', now(), now());
INSERT INTO ticks_platform.feed_symbol
SELECT 'stocks', symbol, now() - hours * INTERVAL '1 hour', NULL, 'always', NULL
FROM (VALUES ('AAPL', 3), ('MSFT', 3), ('NVDA', 1)) AS given (symbol, hours);
INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection) VALUES
    ('stocks', 'AAPL', now() - INTERVAL '3 hours', now() - INTERVAL '2 hours', 'disconnected', 1, 1),
    ('stocks', 'AAPL', now() - INTERVAL '119 minutes', NULL, NULL, 1, 2),
    ('stocks', 'MSFT', now() - INTERVAL '3 hours', now() - INTERVAL '10 minutes', 'silent', 1, 2),
    ('stocks', 'NVDA', now() - INTERVAL '1 hour', NULL, NULL, 1, 2);
"""


def test_nothing_is_open_where_there_are_no_gaps(
    database: Database, check_one: Callable[..., dg.AssetCheckEvaluation]
) -> None:
    result = check_one("gaps_are_closed", "feed_gaps")
    assert result.passed
    assert result.metadata["open"].value == 0


def test_open_gaps_are_a_warning_with_numbers_and_rows(
    database: Database, check_one: Callable[..., dg.AssetCheckEvaluation]
) -> None:
    with database.transaction() as cursor:
        cursor.execute(GAPS)
    result = check_one("gaps_are_closed", "feed_gaps")
    assert not result.passed
    assert result.severity is dg.AssetCheckSeverity.WARN
    assert (result.metadata["open"].value, result.metadata["going on"].value) == (2, 1)
    seconds = result.metadata["seconds"].value
    assert isinstance(seconds, float)
    assert 660 <= seconds < 720
    table = result.metadata["newest"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [(row.data["symbol"], row.data["cause"], row.data["state"]) for row in table.records] == [
        ("MSFT", "silent", "open"),
        ("AAPL", "disconnected", "open"),
    ]
    assert table.records[0].data["to"] == "goes on"
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_gap SET state = 'repaired' WHERE symbol = 'AAPL'")
        cursor.execute("UPDATE ticks_platform.feed_gap SET state = 'ignored' WHERE symbol = 'MSFT'")
    assert check_one("gaps_are_closed", "feed_gaps").passed


def test_the_asset_shows_a_table_and_a_timeline_and_makes_the_function(
    database: Database, platform: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    with database.transaction() as cursor:
        cursor.execute(GAPS)
    result = platform.resolve_job_def("keep_gaps").execute_in_process(instance=instance)
    (event,) = result.asset_materializations_for_node("feed_gaps")
    metadata = event.metadata
    assert metadata["gaps open"].value == 2
    table = metadata["newest gaps"].value
    assert isinstance(table, str)
    lines = table.splitlines()
    assert len(lines) == 4
    assert lines[3].endswith(" | AAPL | disconnected | open |"), "one feed, which needs no column"
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {6}
    picture = metadata["timeline of stocks"].value
    assert isinstance(picture, str)
    encoded = picture.partition("base64,")[2].rstrip(")")
    svg = ElementTree.fromstring(base64.b64decode(encoded))
    classes = [node.get("class") for node in svg.iter() if node.get("class")]
    assert classes.count("silent") == classes.count("disconnected") == 1
    assert classes.count("not wanted") == 1, "it begins with the first two symbols"
    assert len(picture) < 8_000
    assert "timeline of crypto" not in metadata, "nothing was ever wanted of it"
    at = datetime.now(timezone.utc) - timedelta(minutes=5)
    with database.transaction() as cursor:
        cursor.execute("SELECT ticks_platform.why_no_candle('MSFT', %s)", (at,))
        assert cursor.fetchone() == ("feed_gap",)
        cursor.execute("SELECT ticks_platform.why_no_candle('AAPL', %s)", (at,))
        assert cursor.fetchone() == ("no_trade",)


def test_settled_gaps_of_long_ago_are_not_counted(
    database: Database, platform: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    """Nobody reads the gaps of years: open ones are counted, and others of the last day."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed VALUES ('stocks', 'twelve_data', true);
            INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, state, rows_repaired)
            SELECT 'stocks', 'AAPL', now() - ago, now() - ago + INTERVAL '1 minute', 'disconnected', state, 7
            FROM (
                VALUES (INTERVAL '2 days', 'repaired'), ('3 hours', 'repaired'), ('3 days', 'open'), ('2 hours', 'open')
            ) AS given (ago, state)
            """
        )
    for _ in range(2):
        result = platform.resolve_job_def("keep_gaps").execute_in_process(instance=instance)
        (event,) = result.asset_materializations_for_node("feed_gaps")
    shown = {name: event.metadata[name].value for name in event.metadata if name.partition(" ")[0] in ("gaps", "rows")}
    assert shown == {"gaps open": 2, "gaps repaired, 24 hours": 1, "rows repaired, 24 hours": 7}
    first = list(instance.fetch_materializations(dg.AssetKey("true_up"), limit=10).records)
    assert len(first) == 1, "said once that there was nothing to do"
