"""The project's .env: the environment goes first, and what came from the file follows the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ticks_platform import env_file


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(tmp_path))
    # So that both are as before afterwards, whatever is set meanwhile.
    for name in ("A_KEY", env_file.FROM_FILE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def write(text: str) -> None:
    env_file.path().write_text(text, encoding="utf-8")


def test_a_value_from_the_file_follows_the_file() -> None:
    write("A_KEY='first'\n# a comment\n\nexport OTHER_SETTING_OF_A_TEST=\n")
    env_file.load()
    assert os.environ["A_KEY"] == "first"
    # A process that inherits it, after the file was corrected.
    write("A_KEY=second\n")
    assert env_file.current("A_KEY") == os.environ["A_KEY"] == "second"
    env_file.path().unlink()
    assert env_file.current("A_KEY") == "second"
    os.environ.pop("OTHER_SETTING_OF_A_TEST")


def test_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "of the environment")
    write("A_KEY=of the file\n")
    env_file.load()
    assert env_file.current("A_KEY") == "of the environment"
    # Read by Dagster from the same file before: it is the file's.
    monkeypatch.setenv("A_KEY", "of the file")
    env_file.load()
    write("A_KEY=corrected\n")
    assert env_file.current("A_KEY") == "corrected"


def test_a_key_that_is_added_later_is_found() -> None:
    assert env_file.current("A_KEY") == ""
    write("A_KEY=added\n")
    assert env_file.current("A_KEY") == "added"


@pytest.mark.parametrize("text", ["A_KEY\n", "A_KEY s3cret\n", "GOOD=1\nA_KEY='s3cret\n"])
def test_a_line_that_is_no_setting_is_named_and_not_quoted(text: str) -> None:
    write(text)
    for work in (env_file.load, lambda: env_file.current("A_KEY")):
        with pytest.raises(env_file.EnvFileError, match=r"line \d+: not of the form NAME=value") as error:
            work()
        assert "s3cret" not in str(error.value)
