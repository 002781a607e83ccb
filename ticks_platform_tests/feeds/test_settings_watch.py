"""feeds.yaml and .env that cannot be read while something runs: what is said, and how often."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ticks_platform.feeds.settings_watch import SettingsWatch

GOOD = "feeds: {stocks: {provider: twelve_data, endpoint: stand-in, symbols: [AAPL]}}"
WRONG = "feeds: {stocks: {provider: twelve_data, endpoint: stand-in, simbols: [AAPL]}}"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(tmp_path))
    (tmp_path / "feeds.yaml").write_text(GOOD, encoding="utf-8")
    return tmp_path / "feeds.yaml"


@pytest.fixture
def watch(file: Path, said: list[str]) -> SettingsWatch:
    def say(level: int, text: str) -> None:
        assert level == logging.WARNING, "the terminal of `ticks dev` shows warnings"
        said.append(text)

    return SettingsWatch(file, say, meanwhile="It continues.")


def test_a_file_that_is_half_written_at_one_look_is_not_told(file: Path, watch: SettingsWatch, said: list[str]) -> None:
    for content in ("feeds: {sto", GOOD, "feeds: {", GOOD):
        file.write_text(content, encoding="utf-8")
        assert (watch.read() is None) is (content != GOOD)
    assert said == []


def test_an_error_that_lasts_is_told_once_and_so_are_another_one_and_the_end(
    file: Path, watch: SettingsWatch, said: list[str]
) -> None:
    file.write_text(WRONG, encoding="utf-8")
    for _ in range(5):
        assert watch.read() is None
    (text,) = said
    assert "simbols" in text
    assert str(file) in text
    assert text.endswith("It continues.")
    file.write_text("feeds: {", encoding="utf-8")
    for _ in range(5):
        watch.read()
    assert len(said) == 2
    assert "not valid YAML" in said[1]
    file.write_text(GOOD, encoding="utf-8")
    for _ in range(5):
        assert watch.read() is not None
    assert len(said) == 3
    assert "feeds.yaml can be read again" in said[2]
    file.write_text(WRONG, encoding="utf-8")
    for _ in range(5):
        watch.read()
    assert "simbols" in said[3], "the same error another time"


def test_a_broken_env_file_is_told_and_feeds_yaml_counts_all_the_same(
    file: Path, watch: SettingsWatch, said: list[str]
) -> None:
    (file.parent / ".env").write_text("KEY s3cr3t\n", encoding="utf-8")
    for _ in range(3):
        assert watch.read() is not None
    (text,) = said
    assert ".env, line 1" in text
    assert "s3cr3t" not in text
    (file.parent / ".env").unlink()
    watch.read()
    assert ".env can be read again" in said[1]


def test_a_file_that_is_gone_is_told(file: Path, watch: SettingsWatch, said: list[str]) -> None:
    file.unlink()
    for _ in range(3):
        assert watch.read() is None
    assert len(said) == 1
    assert "cannot read" in said[0]
