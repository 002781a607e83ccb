"""Base classes of the platform's errors, by what has to be done about them.

A concrete error is defined where it is raised. Its message says what happened, with which feed, table or setting, and
what to do. It never contains a secret: what this process knows as one is masked, since providers repeat keys.
"""

from __future__ import annotations

from ticks_platform.masking import masked


class TicksPlatformError(Exception):
    """Any error that the platform raises on purpose."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(masked, arguments))


class ActionRequiredError(TicksPlatformError):
    """A retry fails again until somebody changes a setting, a key, a file or the database."""


class RetryableError(TicksPlatformError):
    """This attempt failed; another one, such as the feed's next run, may succeed."""
