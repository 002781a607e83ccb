"""The error of the embedded database."""

from __future__ import annotations


class EmbeddedError(RuntimeError):
    """The embedded database cannot be started, found or stopped; the message says why, and what to do."""
