"""run_tags in feeds.yaml: what a launcher reads of a feed's run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster_celery import tags as celery_tags

from ticks_platform.feeds import run_tags
from ticks_platform.feeds.settings import FeedSettings, SettingsError, load_settings


def load(folder: Path, tags: Any) -> FeedSettings:
    """A feed with these tags, from a file."""
    feed = {"provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL"], "run_tags": tags}
    (folder / "feeds.yaml").write_text(yaml.safe_dump({"feeds": {"stocks": feed}}), encoding="utf-8")
    return load_settings(folder / "feeds.yaml").feed("stocks")


def test_tags_are_text_as_dagster_keeps_them(tmp_path: Path) -> None:
    pod = {
        "container_config": {"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}},
        "pod_spec_config": {"node_selector": {"pool": "feeds"}},
        "merge_behavior": "SHALLOW",
    }
    tags = {
        "dagster-celery/queue": "feeds.eu-1",
        "dagster-celery/run_priority": 3,
        "dagster/priority": "-1",
        "dagster-k8s/config": pod,
        "team": "market data",
        "spot": False,
        "zones": ["a", "b"],
    }
    found = load(tmp_path, tags).run_tags
    assert json.loads(found.pop("dagster-k8s/config")) == pod
    assert found == {
        "dagster-celery/queue": "feeds.eu-1",
        "dagster-celery/run_priority": "3",
        "dagster/priority": "-1",
        "team": "market data",
        "spot": "false",
        "zones": '["a", "b"]',
    }


def test_no_tags_by_default_and_their_change_needs_no_new_run(tmp_path: Path) -> None:
    tagged = load(tmp_path, {"dagster-celery/queue": "feeds"})
    plain = load(tmp_path, {})
    assert plain.run_tags == {}
    assert plain == tagged.model_copy(update={"run_tags": {}})
    assert tagged.only_symbols_differ(plain)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["a"], "must be a mapping of tags to values"),
        ({"a b": "s3cr3t"}, "a key that Dagster does not accept"),
        ({7: "s3cr3t"}, "a key that Dagster does not accept"),
        ({"a" * 64: "s3cr3t"}, "a key that Dagster does not accept"),
        ({"ticks/feed": "s3cr3t"}, "must not set 'ticks/feed', which is set by the platform"),
        ({"dagster-celery/task_id": "s3cr3t"}, "must not set 'dagster-celery/task_id'"),
        ({"dagster/max_runtime": 60}, "of Dagster's own tags it may set dagster/image and dagster/priority"),
        ({"dagster/partition": "s3cr3t"}, "must not set 'dagster/partition'"),
        ({".dagster/x": "s3cr3t"}, "must not set '.dagster/x'"),
        ({"dagster/priority": "s3cr3t"}, "dagster/priority: must be a whole number"),
        ({"dagster/priority": True}, "dagster/priority: must be a whole number"),
        ({"dagster-celery/run_priority": 1.5}, "dagster-celery/run_priority: must be a whole number"),
        ({"dagster-celery/queue": "s3cr3t queue"}, "dagster-celery/queue: must be the name of a queue"),
        ({"dagster-celery/queue": 7}, "dagster-celery/queue: must be the name of a queue"),
        ({"dagster-k8s/config": "s3cr3t"}, "dagster-k8s/config: must be a mapping"),
        ({"dagster-k8s/config": {"pod_spec": {}}}, "unknown section; did you mean 'pod_spec_config'?"),
        ({"dagster-k8s/config": {"s3cr3t": {}}}, "unknown section; it has container_config, job_config"),
        ({"dagster-k8s/config": {"job_metadata": "s3cr3t"}}, "dagster-k8s/config.job_metadata: must be a mapping"),
        ({"dagster-k8s/config": {"merge_behavior": "s3cr3t"}}, "merge_behavior: must be SHALLOW or DEEP"),
        ({"since": yaml.safe_load("2026-11-27")}, "since: must be text, a number"),
        ({"x": float("nan")}, "x: must be text, a number"),
    ],
)
def test_refused(tags: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, tags)
    assert "feeds.stocks.run_tags: " in str(caught.value)
    assert words in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_the_tags_of_celery_are_those_of_its_launcher() -> None:
    checked = {celery_tags.DAGSTER_CELERY_QUEUE_TAG, celery_tags.DAGSTER_CELERY_RUN_PRIORITY_TAG}
    assert checked < set(run_tags._CHECKS)
    assert run_tags._SET_BY_LAUNCHERS == (celery_tags.DAGSTER_CELERY_TASK_ID_TAG,)
