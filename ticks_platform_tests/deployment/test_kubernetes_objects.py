"""deploy/kubernetes against the schemas of Kubernetes, and the Job that the launcher makes of a feed's run."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform_tests.deployment import kubernetes

pytestmark = pytest.mark.full

VERSIONS = ("1.27", "1.30", "1.33", "1.37")
"""From the first in which a probe by gRPC is for everybody."""


def check(found: dict[str, Any]) -> None:
    """Check an object against the schemas, in which an unknown field is an error."""
    import kubernetes_validate

    for version in VERSIONS:
        kubernetes_validate.validate(found, version, strict=True)


def test_a_wrong_object_is_found() -> None:
    import kubernetes_validate

    wrong = kubernetes.documents("code.yaml")[1]
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        check(wrong)


def test_every_object_is_valid() -> None:
    found = list(kubernetes.manifests())
    assert {path for path, _ in found} >= {"code.yaml", "network.yaml", "run-per-feed/journals.yaml"}
    for _, manifest in found:
        check(manifest)


def test_what_the_values_say_of_pods_is_valid() -> None:
    """In a pod as the chart makes it: its security, resources, probes, volumes."""
    second = kubernetes.values(run_per_feed=True)
    (deployment,) = second["dagster-user-deployments"]["deployments"]
    for part in (second["dagsterWebserver"], second["dagsterDaemon"], deployment):
        container = {
            "name": "dagster",
            "image": f"{part['image']['repository']}:{part['image']['tag']}",
            "imagePullPolicy": part["image"]["pullPolicy"],
            "securityContext": part["securityContext"],
            "resources": part["resources"],
            "env": part.get("env", []),
            "volumeMounts": part.get("volumeMounts", []),
        }
        probe = {key: value for key, value in part.get("readinessProbe", {}).items() if key != "enabled"}
        if "httpGet" in probe:
            assert probe["httpGet"]["port"] == part["service"]["port"]
        if probe:
            container["readinessProbe"] = probe
        spec = {
            "securityContext": part["podSecurityContext"],
            "containers": [container],
            "volumes": part.get("volumes", []),
        }
        check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})


class Cluster:
    """A server on loopback that takes Jobs as Kubernetes' API does, and keeps them."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        jobs = self.jobs

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == f"/apis/batch/v1/namespaces/{kubernetes.NAMESPACE}/jobs"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                jobs.append(json.loads(body))
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def kubeconfig(self, folder: Path) -> str:
        """A file by which a client finds it."""
        file = folder / "kubeconfig"
        url = f"http://127.0.0.1:{self.server.server_port}"
        found = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "one", "cluster": {"server": url}}],
            "users": [{"name": "one", "user": {}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
            "current-context": "one",
        }
        file.write_text(yaml.safe_dump(found), encoding="utf-8")
        return str(file)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def test_a_feeds_run_is_a_valid_job_with_its_journal(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = kubernetes.values(run_per_feed=True)
    for name, value in kubernetes.environment(values).items():
        monkeypatch.setenv(name, str(tmp_path) if name == "DAGSTER_HOME" else value)
    instance = kubernetes.instance(values)
    instance["run_launcher"]["config"] |= {
        "load_incluster_config": False,
        "kubeconfig_file": cluster.kubeconfig(tmp_path),
    }
    # The test has no PostgreSQL.
    instance["storage"] = {"sqlite": {"base_dir": str(tmp_path)}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance), encoding="utf-8")
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    name, settings = kubernetes.feed_of_page()
    feed = FeedSettings.model_validate({"name": name, **settings})
    origin = JobPythonOrigin(
        job_name="ingest",
        repository_origin=RepositoryPythonOrigin(
            executable_path=sys.executable,
            code_pointer=ModuleCodePointer("ticks_platform.definitions", "defs"),
            container_image="ticks_platform:1",
            container_context=kubernetes.container_context(deployment),
        ),
    )

    @dg.job
    def ingest() -> None: ...

    with dg.DagsterInstance.from_config(str(tmp_path)) as dagster:
        run = dagster.create_run_for_job(ingest, job_code_origin=origin, tags=dict(feed.run_tags))
        dagster.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    (job,) = cluster.jobs
    check({key: value for key, value in job.items() if key != "status"})
    template = job["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert len(mounted) == len(container["volumeMounts"]), "two volumes at one place"
    assert volumes[mounted["/state"]]["persistentVolumeClaim"] == {"claimName": "journal-tape"}
    assert volumes[mounted["/project"]]["configMap"]["name"] == "ticks-project"
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert (environment["TICKS_STATE_DIR"], environment["TICKS_PROJECT_DIR"]) == ("/state", "/project")
    assert {"secretRef": {"name": "ticks-code"}} in container["envFrom"]
    assert container["image"] == "ticks_platform:1"
    assert container["resources"] == settings["run_tags"]["dagster-k8s/config"]["container_config"]["resources"]
    assert pod["terminationGracePeriodSeconds"] == 60
    assert pod["securityContext"]["fsGroup"] == 1000
    assert pod["restartPolicy"] == "Never"
    assert job["spec"]["backoffLimit"] == 0, "the supervisor launches a feed's next run"
    assert job["spec"]["ttlSecondsAfterFinished"] == 600
    (policy,) = kubernetes.documents("network.yaml")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
