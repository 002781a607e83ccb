"""Why a connection ends, or a feed."""

from __future__ import annotations

from ticks_platform.errors import ActionRequiredError, RetryableError


class FeedRefusedError(ActionRequiredError):
    """The provider refuses this client; trying again with the same settings cannot help."""


class ConnectionLostError(RetryableError):
    """The WebSocket has ended, for the reason in the message."""


class LeavingError(ConnectionLostError):
    """It is this side that ends the connection: what is on its way is still to be taken in."""


class TryLaterError(LeavingError):
    """Another connection makes sense only after a while."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class UnreachableError(ConnectionLostError):
    """There is nobody to connect to."""
