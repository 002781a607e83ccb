"""Base classes of the platform's errors, by what has to be done about them.

A concrete error is defined where it is raised. Its message says what happened, with which feed, table or setting, and
what to do. It never contains a secret.
"""

from __future__ import annotations


class TicksPlatformError(Exception):
    """Any error that the platform raises on purpose."""


class ActionRequiredError(TicksPlatformError):
    """A retry fails again until somebody changes a setting, a key, a file or the database."""


class RetryableError(TicksPlatformError):
    """This attempt failed; another one, such as the feed's next run, may succeed."""
