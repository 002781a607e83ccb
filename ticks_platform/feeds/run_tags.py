"""The setting ``run_tags``: tags of a feed's runs, by which launchers choose a queue or a pod's shape."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator

from ticks_platform.settings_file import did_you_mean

_KEY = re.compile(r"([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}")
"""What Dagster accepts as the key of a run's tag."""

_OURS = "ticks/"

_OF_DAGSTER = ("dagster/image", "dagster/priority")
"""The tags of Dagster itself that a feed's run may have. Others would change what its run is, or end it."""

_SET_BY_LAUNCHERS = ("dagster-celery/task_id",)

_KUBERNETES = "dagster-k8s/config"

_KUBERNETES_SECTIONS = (
    "container_config",
    "job_config",
    "job_metadata",
    "job_spec_config",
    "merge_behavior",
    "pod_spec_config",
    "pod_template_spec_metadata",
)
"""Of the schema that dagster-k8s 0.29 validates this tag with, when it launches a run."""

_MERGE_BEHAVIORS = ("SHALLOW", "DEEP")


def _checked(value: Any) -> dict[str, str]:
    """Tags as Dagster stores them: a mapping or a list becomes JSON. Messages name keys, and never quote a value."""
    if not isinstance(value, dict):
        raise ValueError("must be a mapping of tags to values")  # noqa: TRY004
    found = {}
    for key, given in value.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ValueError(
                "has a key that Dagster does not accept: it is up to 63 letters, digits, '_', '-' or '.', and may "
                "have as much again and '/' in front"
            )
        _check_owner(key)
        check = _CHECKS.get(key)
        if check is not None:
            check(key, given)
        found[key] = _text(key, given)
    return found


def _check_owner(key: str) -> None:
    if key.startswith(_OURS) or key in _SET_BY_LAUNCHERS:
        raise ValueError(f"must not set {key!r}, which is set by the platform or the launcher")
    if key.startswith(("dagster/", ".dagster/")) and key not in _OF_DAGSTER:
        raise ValueError(f"must not set {key!r}: of Dagster's own tags it may set {' and '.join(_OF_DAGSTER)}")


def _text(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        # A date, for one, which YAML reads where no quotes are.
        raise ValueError(f"{key}: must be text, a number, a boolean, or a mapping or list of these") from None


def _check_number(key: str, value: Any) -> None:
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value)):
        raise ValueError(f"{key}: must be a whole number")


def _check_queue(key: str, value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", value):
        raise ValueError(f"{key}: must be the name of a queue: letters, digits, '_', '-' or '.'")


def _check_kubernetes(key: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{key}: must be a mapping")  # noqa: TRY004
    for section, content in value.items():
        if section not in _KUBERNETES_SECTIONS:
            hint = did_you_mean(str(section), _KUBERNETES_SECTIONS) or f"; it has {', '.join(_KUBERNETES_SECTIONS)}"
            raise ValueError(f"{key}: unknown section{hint}")
        if section == "merge_behavior":
            if content not in _MERGE_BEHAVIORS:
                raise ValueError(f"{key}.{section}: must be {' or '.join(_MERGE_BEHAVIORS)}")
        elif not isinstance(content, dict):
            raise ValueError(f"{key}.{section}: must be a mapping")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "dagster/priority": _check_number,
    "dagster-celery/run_priority": _check_number,
    "dagster-celery/queue": _check_queue,
    _KUBERNETES: _check_kubernetes,
}

RunTags = Annotated[dict[str, str], BeforeValidator(_checked)]
"""Tags of a run by key."""
