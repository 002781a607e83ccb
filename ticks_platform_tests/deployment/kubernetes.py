"""deploy/kubernetes as its files say it, and what Dagster's Helm chart makes of the values.

No package index has the chart: what is said of it here was read in its templates, dagster-io/dagster, helm/dagster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ticks_platform.paths import project_root

FOLDER = project_root() / "deploy" / "kubernetes"
PAGE = project_root() / "docs" / "operations" / "kubernetes.md"
NAMESPACE = "ticks"


def documents(name: str) -> list[dict[str, Any]]:
    """The objects of a file."""
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that is applied as it is, and its file."""
    for path in sorted(FOLDER.rglob("*.yaml")):
        if path.name != "values.yaml":
            for found in documents(str(path.relative_to(FOLDER))):
                yield str(path.relative_to(FOLDER)), found


def values(*, run_per_feed: bool = False) -> dict[str, Any]:
    """The values, merged as Helm merges the files of several `-f`: mappings into each other, all else replaced."""
    found = documents("values.yaml")[0]
    return _merged(found, documents("run-per-feed/values.yaml")[0]) if run_per_feed else found


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(first)
    for key, value in second.items():
        before = found.get(key)
        found[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return found


def feed_of_page() -> tuple[str, dict[str, Any]]:
    """Name and settings of the feed whose run has a pod of its own, as the page says them."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [found for found in blocks if "run_tags" in found]
    ((name, settings),) = yaml.safe_load(block)["feeds"].items()
    return name, settings


def code_container() -> dict[str, Any]:
    """The container of the code location's pod."""
    (found,) = documents("code.yaml")[1]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def _snake(key: str) -> str:
    return re.sub("([A-Z])", lambda letter: "_" + letter[0].lower(), key)


def snake_case(found: Any) -> Any:
    """With the keys of mappings as Dagster spells them."""
    if isinstance(found, dict):
        return {_snake(key): snake_case(value) for key, value in found.items()}
    return [snake_case(item) for item in found] if isinstance(found, list) else found


def instance(found: Mapping[str, Any]) -> dict[str, Any]:
    """The dagster.yaml that the chart makes of values (templates/configmap-instance.yaml)."""
    daemon, postgresql = found["dagsterDaemon"], found["postgresql"]
    assert not daemon["runCoordinator"]["enabled"]
    assert not daemon["runRetries"]["enabled"]
    assert found["computeLogManager"]["type"] == "NoOpComputeLogManager"
    monitoring = snake_case(daemon["runMonitoring"])
    assert monitoring.pop("max_resume_run_attempts") == 0
    return {
        "storage": {
            "postgres": {
                "postgres_db": {
                    "username": postgresql["postgresqlUsername"],
                    "password": {"env": "DAGSTER_PG_PASSWORD"},
                    "hostname": postgresql["postgresqlHost"],
                    "db_name": postgresql["postgresqlDatabase"],
                    "port": postgresql["service"]["port"],
                    "scheme": postgresql["postgresqlScheme"],
                }
            }
        },
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        },
        "run_launcher": _launcher(found),
        "python_logs": snake_case(found["pythonLogs"]),
        "run_monitoring": monitoring,
        "sensors": snake_case(daemon["sensors"]),
        "schedules": snake_case(daemon["schedules"]),
        "retention": {name: snake_case(found["retention"][name]) for name in ("schedule", "sensor")},
        "telemetry": found["telemetry"],
        **found["additionalInstanceConfig"],
    }


def _launcher(found: Mapping[str, Any]) -> dict[str, Any]:
    launcher = found["runLauncher"]
    if launcher["type"] == "CustomRunLauncher":
        return dict(launcher["config"]["customRunLauncher"])
    given = launcher["config"]["k8sRunLauncher"]
    raw = {_snake(key): value for key, value in given["runK8sConfig"].items()}
    return {
        "module": "dagster_k8s",
        "class": "K8sRunLauncher",
        "config": {
            "load_incluster_config": given["loadInclusterConfig"],
            "job_namespace": NAMESPACE,
            "image_pull_policy": given["imagePullPolicy"],
            "service_account_name": "dagster",
            "dagster_home": {"env": "DAGSTER_HOME"},
            "instance_config_map": {"env": "DAGSTER_K8S_INSTANCE_CONFIG_MAP"},
            "postgres_password_secret": {"env": "DAGSTER_K8S_PG_PASSWORD_SECRET"},
            "env_config_maps": [{"env": "DAGSTER_K8S_PIPELINE_RUN_ENV_CONFIGMAP"}],
            "run_k8s_config": raw,
        },
    }


def environment(found: Mapping[str, Any]) -> dict[str, str]:
    """What the chart sets in the daemon's pod, whose launcher makes the Jobs."""
    name = found["fullnameOverride"]
    return {
        "DAGSTER_HOME": found["global"]["dagsterHome"],
        "DAGSTER_K8S_INSTANCE_CONFIG_MAP": f"{name}-instance",
        "DAGSTER_K8S_PG_PASSWORD_SECRET": found["global"]["postgresqlSecretName"],
        "DAGSTER_K8S_PIPELINE_RUN_ENV_CONFIGMAP": f"{name}-pipeline-env",
        "DAGSTER_PG_PASSWORD": "of-nobody",
    }


def container_context(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """What runs get of their code location (dagster-user-deployments, k8sContainerContext)."""
    assert deployment["includeConfigInLaunchedRuns"]["enabled"]
    return {
        "k8s": {
            "image_pull_policy": deployment["image"]["pullPolicy"],
            "env_config_maps": [f"dagster-{deployment['name']}-user-env"],
            "env_secrets": [secret["name"] for secret in deployment["envSecrets"]],
            "volume_mounts": deployment["volumeMounts"],
            "volumes": deployment["volumes"],
            "labels": deployment["labels"],
            "resources": deployment["resources"],
            "namespace": NAMESPACE,
            "service_account_name": "dagster-user-deployments",
            "env": deployment["env"],
        }
    }
