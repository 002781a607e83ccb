"""The dump, and a project folder with its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticks_platform_tests.upgrade.dump import EARLIER, FOLDER, OLDER, Dump


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(FOLDER, id="newest"),
        pytest.param(EARLIER, id="earlier", marks=pytest.mark.full),
        pytest.param(OLDER, id="older", marks=pytest.mark.full),
    ],
)
def dump(request: pytest.FixtureRequest) -> Dump:
    return Dump(request.param)


@pytest.fixture(scope="module")
def project(dump: Dump, repository_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with the old feeds.yaml and policies.yaml, and the SQL files of today."""
    folder = tmp_path_factory.mktemp("upgrade")
    (folder / "sql").symlink_to(repository_root / "sql", target_is_directory=True)
    (folder / "feeds.yaml").write_bytes((dump.folder / "feeds.yaml").read_bytes())
    (folder / "policies.yaml").write_bytes((dump.folder / "settings" / "policies.full.yaml").read_bytes())
    return folder
