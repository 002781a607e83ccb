"""The code server of `ticks dev`, which loads the definitions and starts the runs: Dagster never restarts a killed one.

All else of Dagster goes on without it, so that no sensor is evaluated, no feed is replaced and nothing is told.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from typing import Any

LOOK_SECONDS = 5.0
"""Between two looks. It has to be away in two of them: one that starts, or a crowded machine, may miss one."""

_ANSWER_SECONDS = 120.0
"""For an answer of the web server; starting a code server takes half a minute on a crowded machine."""

_UNREACHABLE = "DagsterUserCodeUnreachableError"
_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
    name locationOrLoadError { ... on PythonError { message } } } } } }"""
_RELOAD = "mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"


class CodeServer:
    """Looks after the code servers of a web server, in a thread of its own, which ends with the process."""

    def __init__(self, host: str, port: int, say: Callable[[str], None], *, stopping: threading.Event) -> None:
        """None is started once `stopping` is set. `port` is 0 where Dagster chooses one, which nobody is told."""
        self._address = (host, port)
        self._say = say
        self._missed: set[str] = set()
        self._told: set[str] = set()
        self._stopping = stopping

    def start(self) -> None:
        """Begin, where the port is known."""
        if self._address[1]:
            threading.Thread(target=self._run, name="code-server", daemon=True).start()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self._look()
            except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
                self._missed.clear()  # a web server that starts, or ends

    def _look(self) -> None:
        entries = self._ask(_LOCATIONS)["workspaceOrError"]["locationEntries"]
        away = {entry["name"] for entry in entries if _is_away(entry["locationOrLoadError"])}
        for name in sorted(self._told - away):
            self._say(f"the code server of {name} runs again")
        self._told &= away
        again, self._missed = away & self._missed, away - self._missed
        for name in sorted(again):
            if self._stopping.is_set():
                return
            if name not in self._told:
                self._told.add(name)
                self._say(f"the code server of {name} was killed, or hangs; starting it again. Feeds continue")
            # What comes of it, the next look shows: this may say that it took too long, of one that comes up.
            self._ask(_RELOAD, name=name)

    def _ask(self, query: str, **variables: str) -> Any:
        # Not by a proxy of the environment: it is on this machine.
        connection = http.client.HTTPConnection(*self._address, timeout=_ANSWER_SECONDS)
        try:
            body = json.dumps({"query": query, "variables": variables})
            connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())["data"]
        finally:
            connection.close()


def _is_away(found: dict[str, str] | None) -> bool:
    return _UNREACHABLE in ((found or {}).get("message") or "")
