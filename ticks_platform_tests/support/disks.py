"""Programs on a disk that is small: a tmpfs in a mount namespace of its own, which any user may have."""

from __future__ import annotations

import contextlib
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


class SmallDisk:
    """A disk of this size at `folder`, which stays until `close`, for programs that `command` runs."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        mounted = f'mount -t tmpfs -o size={megabytes}m none "$1" && echo mounted && exec cat'
        self._is_root = os.geteuid() == 0
        unshare = ["unshare", "--mount"] if self._is_root else ["unshare", "--mount", "--map-root-user"]
        # It ends with this process, which has the other end of its input.
        self._holder = subprocess.Popen(
            [*unshare, "sh", "-c", mounted, "sh", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n", f"no disk can be mounted at {folder}"

    @property
    def command(self) -> list[str]:
        """What a command that sees the disk begins with."""
        user = [] if self._is_root else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self._holder.pid), *user, "--mount", "--"]

    @property
    def folder(self) -> Path:
        """The disk, for this process."""
        return Path(f"/proc/{self._holder.pid}/root{self._folder}")

    def fill(self) -> None:
        """Take all the room that there is."""
        with (self.folder / "ballast").open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self) -> None:
        """Give it back."""
        (self.folder / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        """Remove it."""
        self._holder.kill()
        self._holder.communicate()
