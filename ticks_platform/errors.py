"""Base classes of the platform's errors, by what they ask of whoever meets them.

A concrete error stands where it is raised. Its message is for the person who has to act on it: what happened, with
which feed, table or setting, and what to do. It never holds a secret.
"""

from __future__ import annotations


class TicksPlatformError(Exception):
    """Any error that the platform raises on purpose."""


class ActionRequiredError(TicksPlatformError):
    """The same attempt would fail again: first somebody has to change a setting, a key, a file or the database."""


class RetryableError(TicksPlatformError):
    """This attempt is over, and another one may succeed, such as the feed's next run."""
