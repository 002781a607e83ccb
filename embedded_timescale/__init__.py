"""The embedded database: real TimescaleDB in WebAssembly under Node, behind a PostgreSQL socket of our own.

For trying, developing and testing, when ``TICKS_DATABASE_URL`` is not set. It is one session that all clients share in
turns: while one is in a transaction the others wait. Temporary tables, ``WITH HOLD`` cursors, ``LISTEN`` and session
advisory locks last until another client gets its turn; settings and prepared statements are kept per client.
"""

from __future__ import annotations

from embedded_timescale.errors import EmbeddedError
from embedded_timescale.paths import default_data_dir
from embedded_timescale.server import Status, ensure_running, status, stop

__all__ = ["EmbeddedError", "Status", "default_data_dir", "ensure_running", "status", "stop"]
