"""What goes wrong with the embedded database and is for the user to put right."""

from __future__ import annotations


class EmbeddedError(RuntimeError):
    """The embedded database cannot be used as asked; the message says what happened and what to do."""
