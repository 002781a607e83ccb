"""Prometheus' files: promtool accepts them, each rule fires, and rules and panels name metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ticks_platform.paths import project_root
from ticks_platform_tests.support.promtool import promtool

FOLDER = project_root() / "deploy" / "prometheus"
RULES = FOLDER / "ticks.rules.yml"
PAGE = project_root() / "docs" / "operations" / "monitoring.md"

FAULTS = {
    "TicksMetricsAway": 'up{job="ticks", instance="here"} 0',
    "TicksDatabaseAway": "ticks_database_up 0",
    "TicksFeedDown": 'ticks_feed_up{feed="stocks"} 0',
    "TicksFeedRefused": 'ticks_feed_refused{feed="stocks"} 1',
    "TicksFeedStalled": 'ticks_feed_stalled{feed="stocks"} 1',
    "TicksChannelsFailed": 'ticks_channels_failed{feed="stocks"} 2',
    "TicksClockWrong": 'ticks_clock_wrong{feed="stocks"} 1',
    "TicksJobFailing": 'ticks_job_failures{job_id="1000", name="refresh policy of one_minute_candle"} 3',
    "TicksDiskNotWritable": "ticks_disk_writable 0",
    "TicksDiskNearlyFull": "ticks_disk_free_bytes 1000",
    "TicksJournalNearlyFull": 'ticks_journal_used_bytes{feed="stocks"} 85',
    "TicksJournalFull": 'ticks_journal_used_bytes{feed="stocks"} 99',
    "TicksJournalNotCopied": 'ticks_copy_unshipped_seconds{feed="stocks"} 45',
    "TicksEventsRejected": 'ticks_rejected_total{feed="stocks"} 0+1',
}
"""What each rule is about, as a series that differs from HEALTHY."""

HEALTHY = """
up{job="ticks", instance="here"} 1
ticks_database_up 1
ticks_feed_up{feed="stocks"} 1
ticks_feed_enabled{feed="stocks"} 1
ticks_feed_refused{feed="stocks"} 0
ticks_feed_stalled{feed="stocks"} 0
ticks_channels_failed{feed="stocks"} 0
ticks_clock_wrong{feed="stocks"} 0
ticks_job_failures{job_id="1000", name="refresh policy of one_minute_candle"} 2
ticks_disk_writable 1
ticks_disk_free_bytes 50000000000
ticks_disk_size_bytes 100000000000
ticks_journal_used_bytes{feed="stocks"} 10
ticks_journal_limit_bytes{feed="stocks"} 100
ticks_copy_up{feed="stocks"} 1
ticks_copy_unshipped_seconds{feed="stocks"} 5
ticks_rejected_total{feed="stocks"} 0
ticks_loaded_total{feed="stocks"} 0+100
ticks_replaced_total{feed="stocks"} 0
"""

IMPLIED = {"TicksJournalFull": {"TicksJournalNearlyFull"}}
"""Alerts that fire beside the one that is meant."""


def documented() -> set[str]:
    """The metrics of the documentation's table."""
    return set(re.findall(r"^\| `(ticks_\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def in_expressions(text: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bticks_\w+", text)}


def alerts() -> dict[str, Any]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_promtool_accepts_the_files() -> None:
    promtool("check", "rules", RULES)
    promtool("check", "config", FOLDER / "prometheus.yml")


@pytest.mark.full
def test_each_rule_fires_for_its_fault_and_none_without_one(tmp_path: Path) -> None:
    """By Prometheus itself."""
    assert FAULTS.keys() == alerts().keys()
    tests = [_case(None), *(_case(alert) for alert in FAULTS)]
    content = {"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": tests}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    promtool("test", "rules", file)


def _case(alert: str | None) -> dict[str, Any]:
    """An hour of series with one fault; which alerts fire at its end."""
    series = dict(line.rsplit(" ", 1) for line in HEALTHY.strip().splitlines())
    if alert is not None:
        name, value = FAULTS[alert].rsplit(" ", 1)
        series[name] = value
    firing = {alert} | IMPLIED.get(alert, set()) if alert is not None else set()
    return {
        "name": alert or "healthy",
        "interval": "15s",
        "input_series": [
            {"series": name, "values": f"{value}x300" if "+" in value else f"{value}+0x300"}
            for name, value in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'sort_desc(count by (alertname) (ALERTS{alertstate="firing"}))',
                "eval_time": "70m",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(firing)],
            }
        ],
    }


def test_rules_and_panels_name_documented_metrics() -> None:
    named = in_expressions(RULES.read_text(encoding="utf-8"))
    assert named <= documented()
    (dashboard,) = (project_root() / "grafana" / "dashboards").glob("prometheus.json")
    panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    shown = {name for panel in panels for target in panel["targets"] for name in in_expressions(target["expr"])}
    assert shown == documented(), "a panel for each metric"
