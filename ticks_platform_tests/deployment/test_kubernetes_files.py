"""deploy/kubernetes, as far as it can be looked at without a cluster and without its schemas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from ticks_platform.feeds.registry import find_connector
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.paths import project_root
from ticks_platform_tests.deployment import kubernetes
from ticks_platform_tests.support.instances import check_instance

ROOT = project_root()
PAGE = kubernetes.PAGE.read_text(encoding="utf-8")


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [found for _, found in kubernetes.manifests() if found["kind"] == kind]


def pod() -> dict[str, Any]:
    return of_kind("StatefulSet")[0]["spec"]["template"]["spec"]


def test_the_instance_differs_in_storage_launcher_and_logs_alone() -> None:
    ours = kubernetes.instance(kubernetes.values())
    of_compose = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text(encoding="utf-8"))
    assert set(ours) - set(of_compose) == {"run_launcher"}
    assert not set(of_compose) - set(ours)
    for key in set(of_compose) - {"storage", "compute_logs"}:
        assert ours[key] == of_compose[key], key


def test_the_instance_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = kubernetes.values()
    for name, value in kubernetes.environment(values).items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "given.yaml"
    file.write_text(yaml.safe_dump(kubernetes.instance(values)), encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    assert {"dagster", "dagster_postgres"} <= check_instance(file, home)


def test_the_second_shape_changes_the_launcher_and_the_code_location_alone() -> None:
    first, second = kubernetes.values(), kubernetes.values(run_per_feed=True)
    assert {key for key in second if first.get(key) != second[key]} == {
        "dagster-user-deployments",
        "dagsterWebserver",
        "runLauncher",
    }
    assert {**second["dagsterWebserver"], "workspace": None} == {**first["dagsterWebserver"], "workspace": None}


def test_the_code_location_is_where_the_workspace_says() -> None:
    (server,) = kubernetes.values()["dagsterWebserver"]["workspace"]["servers"]
    (service,) = of_kind("Service")
    (stateful_set,) = of_kind("StatefulSet")
    assert server["host"] == service["metadata"]["name"] == stateful_set["spec"]["serviceName"]
    assert [port["port"] for port in service["spec"]["ports"]] == [server["port"]]
    assert [port["containerPort"] for port in kubernetes.code_container()["ports"]] == [server["port"]]
    assert service["spec"]["selector"] == stateful_set["spec"]["selector"]["matchLabels"]
    assert stateful_set["spec"]["template"]["metadata"]["labels"] == service["spec"]["selector"]
    of_compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["code"]
    assert kubernetes.code_container()["command"] == of_compose["command"]
    (deployment,) = kubernetes.values(run_per_feed=True)["dagster-user-deployments"]["deployments"]
    assert deployment["dagsterApiGrpcArgs"] == of_compose["command"][-2:]
    assert (deployment["name"], deployment["port"]) == (server["host"], server["port"])
    assert stateful_set["spec"]["replicas"] == 1


def test_secrets_and_config_maps_have_a_source() -> None:
    made = {found["metadata"]["name"]: set(found["stringData"]) for found in of_kind("Secret")}
    values = kubernetes.values()
    assert values["global"]["postgresqlSecretName"] in made
    assert not values["generatePostgresqlPasswordSecret"]
    used = [source["secretRef"]["name"] for source in kubernetes.code_container()["envFrom"]]
    used += [
        secret["name"]
        for secret in kubernetes.values(run_per_feed=True)["dagster-user-deployments"]["deployments"][0]["envSecrets"]
    ]
    assert set(used) <= set(made)
    for variable in kubernetes.code_container()["env"]:
        if "valueFrom" in variable:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["key"] in made[reference["name"]]
    maps = {volume["configMap"]["name"] for volume in pod()["volumes"] if "configMap" in volume}
    assert maps == {"ticks-project", f"{values['fullnameOverride']}-instance"}
    assert "create configmap ticks-project" in PAGE


def test_variables_are_those_that_the_platform_reads() -> None:
    known = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    names = {variable["name"] for variable in kubernetes.code_container()["env"]}
    for found in of_kind("Secret"):
        names |= {name for name in found["stringData"] if name != "postgresql-password"}
    for name in names - {"DAGSTER_HOME", "DAGSTER_PG_PASSWORD"}:
        assert f"`{name}`" in known, name


def test_pods_have_few_rights_and_the_users_disk() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    user = int(re.findall(r"useradd --uid (\d+)", dockerfile)[0])
    second = kubernetes.values(run_per_feed=True)
    (deployment,) = second["dagster-user-deployments"]["deployments"]
    run = second["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    pods = [
        (pod()["securityContext"], kubernetes.code_container()["securityContext"]),
        (run["podSpecConfig"]["securityContext"], run["containerConfig"]["securityContext"]),
        *(
            (part["podSecurityContext"], part["securityContext"])
            for part in (second["dagsterWebserver"], second["dagsterDaemon"], deployment)
        ),
    ]
    for of_pod, of_container in pods:
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["runAsUser"] == of_pod["fsGroup"] == user
        assert of_container["allowPrivilegeEscalation"] is False
        assert of_container["capabilities"] == {"drop": ["ALL"]}
    assert kubernetes.code_container()["securityContext"]["readOnlyRootFilesystem"] is True
    written = {mount["mountPath"] for mount in kubernetes.code_container()["volumeMounts"] if not mount.get("readOnly")}
    assert written == {"/state", "/dagster/storage", "/home/ticks", "/tmp"}
    environment = {variable["name"]: variable.get("value") for variable in kubernetes.code_container()["env"]}
    assert environment["TICKS_STATE_DIR"] in written
    (claim,) = of_kind("StatefulSet")[0]["spec"]["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/state"} in kubernetes.code_container()["volumeMounts"]


def test_a_journal_outlives_its_pod() -> None:
    spec = of_kind("StatefulSet")[0]["spec"]
    assert set(spec["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    for claim in [*spec["volumeClaimTemplates"], *of_kind("PersistentVolumeClaim")]:
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_the_pages_feed_finds_its_claim() -> None:
    name, settings = kubernetes.feed_of_page()
    FeedSettings.model_validate({"name": name, **settings})
    tag = settings["run_tags"]["dagster-k8s/config"]
    (volume,) = tag["pod_spec_config"]["volumes"]
    claims = {claim["metadata"]["name"] for claim in of_kind("PersistentVolumeClaim")}
    assert volume["persistent_volume_claim"]["claim_name"] in claims


def test_the_page_names_every_file_and_nothing_secret_is_in_them() -> None:
    for path in kubernetes.FOLDER.rglob("*.yaml"):
        assert str(path.relative_to(kubernetes.FOLDER)) in PAGE, path
    for found in of_kind("Secret"):
        for value in found["stringData"].values():
            assert value == "" or "PASSWORD" in value


def test_the_versions_are_those_of_the_packages() -> None:
    import dagster

    assert f"Helm chart {dagster.__version__}" in (kubernetes.FOLDER / "values.yaml").read_text(encoding="utf-8")
    assert f"--version {dagster.__version__}" in PAGE


def test_pods_may_reach_what_the_feeds_and_the_copy_need() -> None:
    """By the built-in providers' own addresses, and by those of the page about the copy."""
    (policy,) = of_kind("NetworkPolicy")
    open_ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    providers = sorted(path.parent.name for path in (ROOT / "ticks_platform" / "feeds").glob("*/connector.py"))
    assert "binance" in providers
    for provider in providers:
        connector = find_connector(provider)
        parts = urlsplit(connector.live_url(connector.Options()))
        assert (parts.port or 443) in open_ports, provider
    page = (ROOT / "docs" / "operations" / "journal-copy.md").read_text(encoding="utf-8")
    copied = {int(port) for port in re.findall(r"(?:nats|http)://nats-1:(\d+)", page)}
    assert len(copied) == 2
    assert copied <= open_ports
