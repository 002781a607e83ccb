"""compose.yaml and what it is made of, as far as it can be looked at without a container engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ticks_platform.paths import project_root
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.instances import check_instance

ROOT = project_root()
DEPLOY = ROOT / "deploy"
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
DAGSTER = ("code", "webserver", "daemon")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def documented() -> dict[str, bool]:
    """The variables of env.example, and whether each has to be set."""
    lines = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()
    return {found[2]: not found[1] for line in lines if (found := re.fullmatch(r"(#?)([A-Z_]+)=", line))}


def test_the_parts_are_there() -> None:
    assert set(SERVICES) == {"timescaledb", "dagster-storage", *DAGSTER, "grafana"}
    assert {SERVICES[name]["image"] for name in DAGSTER} == {"ticks_platform"}
    assert [name for name in DAGSTER if "build" in SERVICES[name]] == ["code"]


def test_files_that_are_mounted_exist() -> None:
    declared = set(yaml.safe_load(TEXT)["volumes"])
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in declared, volume
        for needed in service.get("depends_on", {}):
            assert "healthcheck" in SERVICES[needed]


def test_files_that_the_image_is_made_of_exist() -> None:
    build = SERVICES["code"]["build"]
    dockerfile = (ROOT / build["context"] / build["dockerfile"]).read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
    sources = [word for line in copied for word in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source.split('/')[0]}" in ignored, source
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^ARG EXTRAS=deploy$", dockerfile, re.MULTILINE)
    assert re.search(r"^deploy = \[$", extras, re.MULTILINE)


def test_variables_are_documented() -> None:
    used = set(re.findall(r"\$\{(\w+):\?", TEXT))
    images = set(re.findall(r"\$\{(\w+_IMAGE):-[\w./:-]+\}", TEXT))
    assert used | images == set(re.findall(r"\$\{(\w+)", TEXT)), "a variable without a message for when it is missing"
    assert used == {name for name, needed in documented().items() if needed}
    assert images == {name for name, needed in documented().items() if not needed}
    assert "TICKS_ALERT_WEBHOOK" in (DEPLOY / "feeds.env.example").read_text(encoding="utf-8")


def test_services_have_few_rights() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service
        assert service.get("read_only", False) is (name in DAGSTER), name
    assert "POSTGRES_USER" not in SERVICES["timescaledb"]["environment"], "the platform's role is no superuser"
    assert "//ticks:" in SERVICES["code"]["environment"]["TICKS_DATABASE_URL"]


def test_secrets_are_where_they_are_used() -> None:
    places: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for variable in re.findall(r"\$\{(\w+PASSWORD)", str(service.get("environment", {}))):
            places.setdefault(variable, set()).add(name)
    assert places == {
        "TICKS_DB_ADMIN_PASSWORD": {"timescaledb"},
        "TICKS_DB_PASSWORD": {"timescaledb", "code"},
        "TICKS_GRAFANA_DB_PASSWORD": {"timescaledb", "grafana"},
        "DAGSTER_STORAGE_PASSWORD": {"dagster-storage", *DAGSTER},
        "GRAFANA_ADMIN_PASSWORD": {"grafana"},
    }
    files = {name: service["env_file"] for name, service in SERVICES.items() if "env_file" in service}
    assert files == {"code": [{"path": "feeds.env", "required": False}]}


def test_images_are_pinned(tmp_path: Path) -> None:
    """With a docker that answers like the real one; that is asked for nothing else."""
    for name in ("compose.yaml", "deploy/pin-images.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\necho "sha256:0123$(echo "$6" | wc -c)"\n', encoding="utf-8")
    docker.chmod(0o755)
    (tmp_path / ".env").write_text("TICKS_DB_PASSWORD=kept\nGRAFANA_IMAGE=old\n", encoding="utf-8")
    environment = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    for _ in range(2):
        subprocess.run(
            ["sh", "deploy/pin-images.sh"], cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL
        )
    lines = (tmp_path / ".env").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "TICKS_DB_PASSWORD=kept"
    assert {line.partition("=")[0] for line in lines[1:]} == set(re.findall(r"\$\{(\w+_IMAGE)", TEXT))
    assert all(re.fullmatch(r"\w+_IMAGE=[\w./:-]+@sha256:\w+", line) for line in lines[1:])


def test_no_password_is_in_it() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


def test_nothing_is_published_to_the_network() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_grafana_gets_what_its_files_name() -> None:
    named = set()
    for path in (ROOT / "grafana" / "provisioning").rglob("*.yaml"):
        named |= set(re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")))
    assert named == {name for name in SERVICES["grafana"]["environment"] if name.startswith("TICKS_")}
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert SERVICES["grafana"]["environment"]["TICKS_GRAFANA_DASHBOARDS"] in mounted


def test_the_code_location_is_where_the_workspace_says() -> None:
    (entry,) = read(DEPLOY / "workspace.yaml")["load_from"]
    server = entry["grpc_server"]
    command = SERVICES[server["host"]]["command"]
    assert command[command.index("--port") + 1] == str(server["port"])
    (local,) = read(ROOT / "workspace.yaml")["load_from"]
    assert server["location_name"] == local["python_module"]["location_name"]
    assert command[command.index("--module-name") + 1] == local["python_module"]["module_name"]


def test_the_instance_differs_in_where_history_is_kept_alone() -> None:
    ours, local = read(DEPLOY / "dagster.yaml"), read(ROOT / "dagster.yaml")
    for key in ("storage", "compute_logs"):
        ours.pop(key)
        local.pop(key)
    assert ours == local


def test_the_instance_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster takes the file, its classes are there, and they take their configuration."""
    names = set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")))
    for service in DAGSTER:
        assert names <= set(SERVICES[service]["environment"])
    for name in names:
        monkeypatch.setenv(name, f"a-{name.lower()}")
    assert "dagster_postgres" in check_instance(DEPLOY / "dagster.yaml", tmp_path)


def test_compose_itself_takes_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        skips.skip(skips.NO_CONTAINER_ENGINE, "docker compose is not installed")
    env = tmp_path / "env"
    env.write_text("".join(f"{name}=x\n" for name in documented()), encoding="utf-8")
    done = subprocess.run(
        [docker, "compose", "--env-file", str(env), "-f", str(ROOT / "compose.yaml"), "config", "--quiet"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
