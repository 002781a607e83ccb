"""An old feeds.yaml and policies.yaml mean what they meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ticks_platform.feeds.settings import load_settings
from ticks_platform.paths import journal_path
from ticks_platform.timescale.policies.settings import POLICIES, load_policies
from ticks_platform_tests.upgrade.dump import EARLIER, FOLDER, OLDER
from ticks_platform_tests.upgrade.recording import KEYS, describe_feeds, describe_policies


def lost(before: Any, now: Any, where: str = "") -> list[str]:
    """What means something else than before, or nothing; what is new may be added."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            problem
            for key, value in before.items()
            for problem in (lost(value, now[key], f"{where}/{key}") if key in now else [f"{where}/{key} is gone"])
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            problem
            for place, (old, new) in enumerate(zip(before, now, strict=True))
            for problem in lost(old, new, f"{where}/{place}")
        ]
    return [] if before == now else [f"{where} was {before!r} and is {now!r}"]


@pytest.mark.parametrize("folder", [FOLDER, EARLIER, OLDER], ids=["newest", "earlier", "older"])
@pytest.mark.parametrize("which", ["shipped", "full"])
def test_feeds_are_read_as_before(folder: Path, which: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key in KEYS:
        monkeypatch.setenv(key, "a:key")
    file = folder / "settings" / f"feeds.{which}.yaml"
    # Some of them share symbols. They have run, so that this is a warning.
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path))
    (tmp_path / "journal").mkdir()
    for feed in yaml.safe_load(file.read_text(encoding="utf-8"))["feeds"]:
        journal_path(feed).touch()
    # As JSON, in which a tuple is a list.
    now = json.loads(json.dumps(describe_feeds(load_settings(file))))
    changed = lost(json.loads(file.with_suffix(".json").read_text(encoding="utf-8")), now)
    # Where feeds.yaml does not say it, the provider does since 0.2.0. A listing is in the name of its ticks, and the
    # prefix of a pair of Polygon's is not. Coinbase's gaps are repaired.
    meant = (
        "/bar_tolerance was 0.01 and is None",
        "/as ticks call them/RY is gone",
        "/calendars/RY is gone",
        "/as ticks call them/C:USD/JPY is gone",
        "/calendars/C:USD/JPY is gone",
        "was 'C.C:USD/JPY' and is 'C.USD/JPY'",
        "/coinbase/meaning/history was None and is ['trades', 300, None, 5.0, 365.0]",
    )
    assert [one for one in changed if not one.endswith(meant)] == []


@pytest.mark.parametrize("folder", [FOLDER, EARLIER, OLDER], ids=["newest", "earlier", "older"])
@pytest.mark.parametrize("which", ["shipped", "full"])
def test_policies_are_read_as_before(folder: Path, which: str) -> None:
    file = folder / "settings" / f"policies.{which}.yaml"
    now = describe_policies(load_policies(file), POLICIES)
    assert lost(json.loads(file.with_suffix(".json").read_text(encoding="utf-8")), now) == []


def test_a_change_would_be_found() -> None:
    before = {"feeds": {"a": {"symbols": [1, {"name": "x"}], "rate": 2.0}}}
    assert lost(before, {"feeds": {"a": {"symbols": [1, {"name": "x", "new": 1}], "rate": 2.0}}}) == []
    assert lost(before, {"feeds": {"a": {"symbols": [1, {"name": "y"}]}}}) == [
        "/feeds/a/symbols/1/name was 'x' and is 'y'",
        "/feeds/a/rate is gone",
    ]
