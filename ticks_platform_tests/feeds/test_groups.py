"""Groups in feeds.yaml: which feeds share a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ticks_platform.feeds import groups
from ticks_platform.feeds.settings import PlatformSettings, SettingsError, load_settings

SYMBOLS = {"apples": "AAPL", "chips": "NVDA", "coins": "BTC/USD"}


def load(folder: Path, **settings: Any) -> PlatformSettings:
    """The three feeds with these settings, from a file."""
    feeds = {
        name: {"provider": "twelve_data", "endpoint": "stand-in", "symbols": [symbol], **settings.get(name, {})}
        for name, symbol in SYMBOLS.items()
    }
    (folder / "feeds.yaml").write_text(yaml.safe_dump({"feeds": feeds}, sort_keys=False), encoding="utf-8")
    return load_settings(folder / "feeds.yaml")


def test_feeds_of_a_group_share_a_run(tmp_path: Path) -> None:
    settings = load(tmp_path, apples={"group": "small"}, coins={"group": "small"})
    found = {run: [feed.name for feed in feeds] for run, feeds in groups.runs(settings.feeds).items()}
    assert found == {"small": ["apples", "coins"], "chips": ["chips"]}
    assert [feed.run for feed in settings.feeds] == ["small", "chips", "small"]


def test_a_feed_without_a_group_has_a_run_of_its_own(tmp_path: Path, repository_root: Path) -> None:
    """As every feeds.yaml of the releases before."""
    assert {run: len(feeds) for run, feeds in groups.runs(load(tmp_path).feeds).items()} == dict.fromkeys(SYMBOLS, 1)
    assert [feed.run for feed in load_settings(repository_root / "feeds.yaml").feeds] == ["stand_in"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chips": {"group": "apples"}}, "must not have a feed and a group of one name: 'apples'"),
        ({"chips": {"group": "chips"}}, "must not have a feed and a group of one name: 'chips'"),
        (
            {"apples": {"group": "g", "run_tags": {"team": "a"}}, "coins": {"group": "g"}},
            "the same run_tags, since they share a run: 'apples' and 'coins' of group 'g' differ",
        ),
        ({"chips": {"group": "Upper Case"}}, r"feeds.chips.group"),
    ],
)
def test_what_no_run_could_be_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(tmp_path, **settings)


def test_feeds_of_a_group_may_have_the_same_tags(tmp_path: Path) -> None:
    tags = {"group": "g", "run_tags": {"dagster-celery/queue": "feeds"}}
    assert len(groups.runs(load(tmp_path, apples=tags, coins=tags).feeds)["g"]) == 2


def test_a_running_feed_goes_on_when_its_group_is_changed(tmp_path: Path) -> None:
    """Its run is another one after the next reload of the code location."""
    before, after = load(tmp_path), load(tmp_path, apples={"group": "small"})
    assert before.feed("apples").only_symbols_differ(after.feed("apples"))
