"""The error that the stand-in raises."""

from __future__ import annotations


class StandInError(RuntimeError):
    """The stand-in could not start, is not running, or could not carry out a command."""
