"""The data directory of an embedded server: its files, its version check, and how a new one is created."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import filelock

from embedded_timescale.errors import EmbeddedError
from embedded_timescale.install import engine_version, ensure_engine, install_dir
from embedded_timescale.node import run_bridge
from embedded_timescale.npm import report

FORMAT_VERSION = 1
POSTGRES_MAJOR = "17"
_CREATE_SECONDS = 180.0
_STAGING = "pgdata.new-"


@dataclass(frozen=True)
class DataDirectory:
    """Paths within one data directory."""

    root: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own directory."""
        return self.root / "pgdata"

    @property
    def marker(self) -> Path:
        """Format and engine of the cluster. Written last: if it exists, the cluster is complete."""
        return self.root / "ticks-embedded.json"

    @property
    def start_lock(self) -> Path:
        """Lock of the process that starts or stops the server."""
        return self.root / "start.lock"

    @property
    def server_lock(self) -> Path:
        """Lock of the server, held for as long as its process exists."""
        return self.root / "server.lock"

    @property
    def info(self) -> Path:
        """Process id, socket and TCP port of the running server."""
        return self.root / "server.json"

    @property
    def log(self) -> Path:
        """Log of the server."""
        return self.root / "server.log"

    @property
    def password(self) -> Path:
        """The password of TCP connections."""
        return self.root / "tcp-password"

    def prepare(self) -> None:
        """Ensures that there is a cluster that this engine can open; creates one if the directory is new or empty.

        The caller holds :attr:`start_lock`. Raises :class:`EmbeddedError` for a directory that is not ours, or is of
        another version; it is left unchanged.
        """
        self.check()
        if self.marker.exists():
            return
        for leftover in self.root.glob(f"{_STAGING}*"):
            shutil.rmtree(leftover)
        # A cluster without a marker is our own: left by a start that ended between the rename and the marker.
        shutil.rmtree(self.cluster, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.root))
        shutil.copytree(_template(self.log), staging, dirs_exist_ok=True)
        staging.chmod(0o700)
        self.password.touch(mode=0o600)
        self.password.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        staging.rename(self.cluster)
        marker = {"format": FORMAT_VERSION, "engine": engine_version(), "postgres": POSTGRES_MAJOR}
        fresh = self.marker.with_suffix(".new")
        fresh.write_text(json.dumps(marker), encoding="utf-8")
        fresh.rename(self.marker)

    def check(self) -> None:
        """Raises :class:`EmbeddedError` for a directory that is not ours, or of another version."""
        if self.marker.exists():
            self._check_versions()
        elif self.root.exists():
            self._check_not_foreign()

    def _check_not_foreign(self) -> None:
        if not self.root.is_dir():
            raise EmbeddedError(f"{self.root} is not a directory. Choose another data directory.")
        start = {self.start_lock, self.server_lock, self.log, self.password, self.marker.with_suffix(".new")}
        # Another process may be at its first start. What shows that the files are ours is written before the others,
        # so it is looked for after them.
        found = list(self.root.iterdir())
        # A first start that was interrupted leaves a cluster without a marker, and this file beside it.
        if self.password.exists():
            start.add(self.cluster)
        foreign = sorted(path.name for path in found if path not in start and not path.name.startswith(_STAGING))
        if foreign and self.marker.exists():
            self._check_versions()
        elif foreign:
            raise EmbeddedError(
                f"{self.root} is not a data directory of the embedded TimescaleDB, and not empty "
                f"(it contains {foreign[0]!r}). Nothing was changed. Choose another directory, or an empty one."
            )

    def _check_versions(self) -> None:
        try:
            marker = json.loads(self.marker.read_text(encoding="utf-8"))
            found_format, found_engine = int(marker["format"]), str(marker["engine"])
            postgres = (self.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EmbeddedError(
                f"The data directory {self.root} of the embedded TimescaleDB is damaged ({error}). "
                "Nothing was changed. Restore it, or choose another directory."
            ) from error
        expected = (FORMAT_VERSION, engine_version(), POSTGRES_MAJOR)
        if (found_format, found_engine, postgres) != expected:
            raise EmbeddedError(
                f"The data directory {self.root} is of another version: format {found_format}, "
                f"engine {found_engine}, PostgreSQL {postgres}. Expected: format {expected[0]}, "
                f"engine {expected[1]}, PostgreSQL {expected[2]}. Nothing was changed. "
                "Use the version of embedded_timescale that created it, or choose another directory."
            )


def _template(log_path: Path) -> Path:
    """A new cluster to copy, created once per engine: initdb and CREATE EXTENSION are what makes a first start slow."""
    engine = ensure_engine()
    template = install_dir().with_name(f"{install_dir().name}.template-{FORMAT_VERSION}")
    with filelock.FileLock(f"{template}.lock"):
        if not template.is_dir():
            report("embedded TimescaleDB: creating a database cluster, once")
            staging = Path(tempfile.mkdtemp(prefix=f"{template.name}.new-", dir=template.parent))
            try:
                with log_path.open("ab") as log:
                    options = {"engine": str(engine), "data": str(staging / "pgdata")}
                    run_bridge("create", options, log, timeout_seconds=_CREATE_SECONDS)
                (staging / "pgdata").rename(template)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return template
