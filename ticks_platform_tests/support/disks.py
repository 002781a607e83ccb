"""A program on a disk that is small: a tmpfs in a mount namespace of its own, which any user may have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def on_small_disk(folder: Path, program: str, *, megabytes: int, files: int = 0, timeout: float = 60.0) -> str:
    """Run a Python program with a new disk of this size at `folder`, which is its first argument; returns its output.

    `files` limits their number, folders included; 0: no limit.

    Raises subprocess.CalledProcessError if it fails; its errors are on this process's stderr.
    """
    folder.mkdir(exist_ok=True)
    mounted = f'mount -t tmpfs -o size={megabytes}m,nr_inodes={files} none "$1" && exec "$2" -c "$3" "$1"'
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    return subprocess.run(
        [*unshare, "sh", "-c", mounted, "sh", str(folder), sys.executable, program],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout,
    ).stdout
