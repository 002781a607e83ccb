"""Starts the bridge under Node.js, and waits until it is ready."""

from __future__ import annotations

import json
import os
import select
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from embedded_timescale.errors import EmbeddedError
from embedded_timescale.install import BRIDGE_DIR
from embedded_timescale.npm import node_executable

_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


def run_bridge(
    command: str, options: dict[str, str], log: IO[bytes], *, keep_fds: Sequence[int] = (), timeout_seconds: float
) -> None:
    """Starts ``main.mjs command`` as a detached process, and returns once it reports that it is ready (or done).

    ``keep_fds`` stay open in it for its lifetime. Raises :class:`EmbeddedError` if it fails or takes too long; the
    process is killed then.
    """
    ready_read, ready_write = os.pipe()
    try:
        arguments = [f"--{name}={value}" for name, value in {**options, "ready-fd": str(ready_write)}.items()]
        process = subprocess.Popen(
            [str(node_executable()), str(BRIDGE_DIR / "main.mjs"), command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            # The environment may hold API keys and NODE_OPTIONS; a detached server needs neither.
            env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
            pass_fds=(*keep_fds, ready_write),
            start_new_session=True,
        )
    finally:
        os.close(ready_write)
    # Collects the exit status: a long-lived parent would keep a zombie of every server that has ended.
    threading.Thread(target=process.wait, name="embedded-timescaledb-reaper", daemon=True).start()
    with os.fdopen(ready_read, "rb") as pipe:
        answer = _read_answer(pipe, timeout_seconds)
    if answer == {}:
        return
    process.kill()
    what = f"it took longer than {timeout_seconds:.0f} s" if answer is None else answer["error"]
    raise EmbeddedError(
        f"The embedded TimescaleDB did not start: {what}. Its log is {Path(os.fsdecode(log.name))}. "
        "If it fails again, move the data directory away, or set TICKS_DATABASE_URL to a TimescaleDB of your own."
    )


def _read_answer(pipe: IO[bytes], timeout_seconds: float) -> dict[str, Any] | None:
    deadline = time.monotonic() + timeout_seconds
    received = b""
    while not received.endswith(b"\n"):
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        chunk = os.read(pipe.fileno(), 65536)
        if not chunk:
            return {"error": "it ended without an error message"}
        received += chunk
    answer: dict[str, Any] = json.loads(received)
    return answer
