"""Embedded TimescaleDB: real PostgreSQL with TimescaleDB, compiled to WebAssembly and run by Node.js.

For development and tests. All clients share one session in turns: while one is in a transaction, the others wait.
Temporary tables and ``WITH HOLD`` cursors last until another client's turn; settings and prepared statements are kept
per client. ``LISTEN`` and session advisory locks are refused, and statements that take too long are interrupted.

Here: starting, finding and stopping servers. ``bridge/`` is the server itself, in JavaScript. Not here: any schema.
"""

from __future__ import annotations

from embedded_timescale.errors import EmbeddedError
from embedded_timescale.paths import default_data_dir
from embedded_timescale.server import Status, ensure_running, status, stop

__all__ = ["EmbeddedError", "Status", "default_data_dir", "ensure_running", "status", "stop"]
