"""Whether servers and stream are as they must be, so that a message that was acknowledged is not lost."""

from __future__ import annotations

from typing import Any

import requests

from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.ingestion.journal_copy.connection import CopyError, CopyRefusedError, NatsConnection, raise_error

OLDEST = (2, 14)
"""The oldest version of the servers: older ones do not sync each message, or do not fence."""

DUPLICATE_WINDOW = 120
"""Seconds in which a message that is published again is recognised."""

_MONITORING_TIMEOUT = 2.0

_NOT_FOUND = 10059

MARGIN = 1 << 20
"""Bytes by which a lower limit is above what the stream has."""


def check_version(connection: NatsConnection) -> None:
    """Raise CopyRefusedError if the server is too old."""
    if connection.version < OLDEST:
        version, oldest = (".".join(map(str, each)) for each in (connection.version, OLDEST))
        raise CopyRefusedError(
            f"{connection.server} is nats-server {version}, and {oldest} is the oldest that may have a journal's copy: "
            "older ones lose what they have acknowledged when the power fails. Update it"
        )


def check_sync(settings: JetStreamSettings) -> None:
    """Raise CopyRefusedError if one of the servers that answer syncs only now and then, or none tells."""
    if settings.monitoring == "unchecked":
        return
    told, last = False, ""
    for url in settings.monitoring:
        try:
            answer = requests.get(f"{url.rstrip('/')}/varz", timeout=_MONITORING_TIMEOUT)
            answer.raise_for_status()
            found = answer.json()
        except (requests.ConnectionError, requests.Timeout):
            last = f"{url} does not answer"
            continue
        except (requests.RequestException, ValueError) as error:
            last = f"{url}: {error}"
            continue
        config = found.get("jetstream", {}).get("config")
        if not config:
            raise CopyRefusedError(
                f"the server at {url} has no JetStream: add a section jetstream to its configuration"
            )
        if not config.get("sync_always"):
            seconds = config.get("sync_interval", 0) / 1e9
            raise CopyRefusedError(
                f"the server at {url} syncs to its disk every {seconds:g} s: a power failure loses what it has "
                "acknowledged since. Set `sync_interval: always` in the section jetstream of its configuration"
            )
        told = True
    if not told:
        raise CopyError(
            f"no server's monitoring tells whether it syncs each message ({last}). Give its URLs in "
            "journal.copy.jetstream.monitoring, or `monitoring: unchecked` if somebody else sees to that"
        )


def ensure(connection: NatsConnection, settings: JetStreamSettings, stream: str, *, room: int = 0) -> dict[str, Any]:
    """Create the stream if it is not there, set its limit, and return what the server tells of it.

    A stream that somebody has made otherwise is left as it is: servers delete the oldest messages of a stream to meet a
    lower limit. `room` is added to the limit. Raises CopyRefusedError and CopyError.
    """
    desired = _desired(settings, stream)
    found = connection.api(f"STREAM.INFO.{stream}", {"subjects_filter": f"{stream}.>"})
    if _code(found) == _NOT_FOUND:
        found = connection.api(f"STREAM.CREATE.{stream}", desired)
        raise_error(found, f"the stream {stream} cannot be created")
    else:
        raise_error(found, f"the stream {stream} cannot be read")
    config = dict(found["config"])
    _check(config, desired, settings, stream)
    wanted = desired["max_bytes"] + room
    if found["state"]["bytes"] + MARGIN > wanted:
        # Below 0 there is no limit.
        wanted = max(wanted, config["max_bytes"]) if config["max_bytes"] >= 0 else config["max_bytes"]
    if config["max_bytes"] != wanted:
        answer = connection.api(f"STREAM.UPDATE.{stream}", {**config, "max_bytes": wanted})
        raise_error(answer, f"the limit of the stream {stream} cannot be set")
        found["config"] = answer["config"]
    return found


def _desired(settings: JetStreamSettings, stream: str) -> dict[str, Any]:
    return {
        "name": stream,
        "subjects": [f"{stream}.>"],
        "retention": "limits",
        "storage": "file",
        "num_replicas": settings.replicas,
        "discard": "new",
        "max_bytes": settings.max_megabytes << 20,
        "max_msgs": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "duplicate_window": DUPLICATE_WINDOW * 10**9,
        "allow_direct": True,
    }


def _check(config: dict[str, Any], desired: dict[str, Any], settings: JetStreamSettings, stream: str) -> None:
    """Raise CopyRefusedError if somebody has made the stream otherwise."""
    other = "give journal.copy.jetstream.stream another name"
    if config.get("mirror") or config.get("sources") or config["subjects"] != desired["subjects"]:
        raise CopyRefusedError(f"the stream {stream} is of another program, or has other subjects: {other}")
    remedy = f"{other}, or, if only this feed's frames are in it, remove it with `nats stream rm {stream}`"
    if config["num_replicas"] < settings.replicas:
        raise CopyRefusedError(
            f"the stream {stream} is on {config['num_replicas']} servers, and must be on {settings.replicas}: run "
            f"`nats stream edit {stream} --replicas {settings.replicas}`"
        )
    for name in ("storage", "discard", "retention", "max_msgs", "max_age", "allow_direct"):
        if config.get(name) != desired[name]:
            raise CopyRefusedError(
                f"the stream {stream} has {name} {config.get(name)!r}, and must have {desired[name]!r}: {remedy}"
            )
    if config.get("deny_purge") or config.get("sealed") or config.get("persist_mode") == "async":
        raise CopyRefusedError(f"the stream {stream} is sealed, denies a purge, or is written asynchronously: {remedy}")


def _code(answer: dict[str, Any]) -> int | None:
    error = answer.get("error") or {}
    code = error.get("err_code")
    return code if isinstance(code, int) else None
