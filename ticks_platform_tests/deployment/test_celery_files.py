"""deploy/celery, as far as it can be looked at without a server, and the launcher that it names."""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from celery import Celery
from celery.concurrency import get_implementation
from kombu.asynchronous import Hub

from ticks_platform.celery_launcher import CeleryRunLauncher
from ticks_platform.paths import project_root
from ticks_platform_tests.support.instances import check_instance

ROOT = project_root()
CELERY = ROOT / "deploy" / "celery"
PAGE = (ROOT / "docs" / "operations" / "celery.md").read_text(encoding="utf-8")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def variables() -> set[str]:
    """The environment variables that the files need."""
    text = "".join(path.read_text(encoding="utf-8") for path in CELERY.iterdir() if path.is_file())
    return set(re.findall(r"(?:env: |environ\[\"|\{)((?:TICKS|DAGSTER)_\w+)", text))


def test_the_instance_differs_in_storage_launcher_and_logs_alone() -> None:
    ours, local = read(CELERY / "dagster.yaml"), read(ROOT / "dagster.yaml")
    assert set(ours) - set(local) == {"run_launcher"}
    assert set(local) - set(ours) == {"compute_logs"}
    for key in set(local) & set(ours) - {"storage"}:
        assert ours[key] == local[key], key


def test_the_instance_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables():
        monkeypatch.setenv(name, "5432" if name.endswith("_PORT") else f"a-{name.lower()}")
    modules = check_instance(CELERY / "dagster.yaml", tmp_path)
    assert {"ticks_platform.celery_launcher", "dagster_postgres"} <= modules


def test_the_workers_settings_are_those_that_the_page_explains(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables():
        monkeypatch.setenv(name, f"a-{name.lower()}")
    settings = runpy.run_path(str(CELERY / "dagster_celery_config.py"))
    assert settings["broker_url"] == "a-ticks_celery_broker"
    assert settings["result_backend"] == "a-ticks_celery_backend"
    assert settings["result_expires"] is None
    assert settings["worker_prefetch_multiplier"] == 1
    assert settings["worker_disable_prefetch"] is True
    own = {name for name in settings if not name.startswith("__")} - {"os", "broker_url", "result_backend"}
    assert own <= set(re.findall(r"`(\w+)`", PAGE))


def test_the_page_names_every_variable_and_file() -> None:
    assert variables() <= set(re.findall(r"\b(?:TICKS|DAGSTER)_\w+", PAGE))
    for path in CELERY.iterdir():
        if path.is_file() and path.suffix != ".py":
            assert path.name in PAGE


@pytest.mark.parametrize("arguments", [[], ["feeds"]])
def test_a_worker_says_what_it_needs(arguments: list[str]) -> None:
    done = subprocess.run(["sh", CELERY / "worker.sh", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: sh worker.sh QUEUE RUNS [options of celery worker]\n")


def test_a_run_is_marked_before_it_is_signalled() -> None:
    """Where it has no task yet, that alone is done: run monitoring ends it."""
    launcher = CeleryRunLauncher(default_queue="dagster", broker="redis://127.0.0.1:1", backend="redis://127.0.0.1:1")

    @dg.job
    def nothing() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        launcher.register_instance(instance)
        run = instance.create_run_for_job(nothing)
        assert not launcher.terminate(run.run_id)
        marked = instance.get_run_by_id(run.run_id)
        assert marked is not None
        assert marked.status is dg.DagsterRunStatus.CANCELING
        instance.report_run_canceled(marked)
        assert not launcher.terminate(run.run_id), "it has ended"
        assert not launcher.terminate("00000000-0000-0000-0000-000000000000")


def test_a_worker_connects_again_although_a_process_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery's own pool raises a ValueError then."""
    monkeypatch.syspath_prepend(str(CELERY))
    pool = get_implementation("celery_pool:TaskPool")(limit=2, app=Celery(), threads=False)
    pool.start()
    try:
        running = pool._pool
        for _ in range(2):
            hub = Hub()
            running.register_with_event_loop(hub)
            watched = [process for process in running._pool if process._sentinel_poll in hub.readers]
            running._untrack_child_process(running._pool[0], hub)
        assert watched == running._pool[1:]
    finally:
        pool.terminate()
