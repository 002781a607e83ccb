"""The folders of the project, of the files that come with the platform, and of its state."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.resources
import logging
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)


def project_root() -> Path:
    """Folder of the project: its feeds.yaml, policies.yaml, and files of ``sql/`` that replace the platform's.

    ``TICKS_PROJECT_DIR``, or else the nearest folder with a feeds.yaml, from the current one upwards, or else the
    checkout that holds this package, or else the current folder.
    """
    configured = os.environ.get("TICKS_PROJECT_DIR")
    if configured:
        return Path(configured).expanduser().resolve()
    here = Path.cwd()
    for folder in (here, *here.parents, _package().parent):
        if (folder / "feeds.yaml").is_file():
            return folder
    return here


def state_dir() -> Path:
    """Folder of what must survive a restart, such as the embedded database: ``TICKS_STATE_DIR``, or ``.ticks``."""
    configured = os.environ.get("TICKS_STATE_DIR")
    return Path(configured).expanduser().resolve() if configured else project_root() / ".ticks"


def cache_dir() -> Path:
    """Folder of what can be made again, per user: ``TICKS_CACHE_DIR``, or else the XDG cache."""
    configured = os.environ.get("TICKS_CACHE_DIR")
    if configured:
        return Path(configured).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ticks_platform"


def journal_path(feed: str) -> Path:
    """The file of a feed's first journal, in the state folder."""
    return state_dir() / "journal" / f"{feed}.sqlite3"


def dev_lock_path() -> Path:
    """The file that `ticks dev` locks while it runs, with its process and its address."""
    return state_dir() / "dev.lock"


def changed_at(*files: Path | str) -> float:
    """When one of these files was changed last, in seconds since the Unix epoch; 0 if there is none."""
    found = [0.0]
    for file in files:
        with contextlib.suppress(OSError):
            found.append(Path(file).stat().st_mtime)
    return max(found)


def make_private(folder: Path) -> None:
    """Create a folder that its owner alone can read; one that exists is corrected, with the files in it.

    What cannot be corrected is a warning that says what to do.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in (folder, *folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            if path.is_symlink():
                continue
            mode = stat.S_IMODE(path.stat().st_mode)
            if not mode & 0o077:
                continue
            try:
                path.chmod(mode & 0o700)
            except OSError as error:
                logger.warning(
                    "%s can be read by others than its owner, and that cannot be changed (%s): run `chmod go= %s` as "
                    "its owner",
                    path,
                    error.strerror,
                    shlex.quote(str(path)),
                )


def create_private(path: Path) -> None:
    """Create an empty file that its owner alone can read, if there is none; SQLite's other files follow it."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


@contextlib.contextmanager
def open_lock(path: Path) -> Iterator[None]:
    """Lock out other processes that open this journal: setting a file aside, or replacing it, is not atomic."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def shipped(name: str) -> Path:
    """A file or folder that comes with the platform, such as ``sql``: in the checkout, or else in the package.

    The wheel has copies of what lies beside the package in the checkout.
    """
    checkout = _package().parent
    return (checkout if (checkout / "sql" / "schema").is_dir() else _package()) / name


def _package() -> Path:
    return Path(str(importlib.resources.files("ticks_platform")))


def running_dev() -> str | None:
    """Process and address of the `ticks dev` of this project; None if it does not run."""
    try:
        with dev_lock_path().open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return dev_lock_path().read_text(encoding="utf-8").strip()
    except OSError:
        pass
    return None
