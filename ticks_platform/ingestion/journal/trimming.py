"""Deletes the frames of a journal that are committed."""

from __future__ import annotations

import sqlite3


def delete_before(writer: sqlite3.Connection, position: int) -> None:
    """Delete the groups before this position, and note how far that is. Raises sqlite3.Error."""
    with writer:
        # Not in a file: if a statement starts with a comment, Python 3.10 does not begin a transaction for it.
        writer.execute(
            """
            UPDATE journal SET trimmed_position = max(trimmed_position, ?), trimmed_frames = coalesce(
                (SELECT frames_before + frames FROM frame_group WHERE position < ? ORDER BY position DESC LIMIT 1),
                trimmed_frames)
            """,
            (position, position),
        )
        # A group is committed whole, so the key is enough; a scan would delay the reading of the socket.
        writer.execute("DELETE FROM frame_group WHERE position < ?", (position,))
