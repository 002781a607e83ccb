"""Why a connection or a feed ends."""

from __future__ import annotations

from ticks_platform.errors import ActionRequiredError, RetryableError


class FeedRefusedError(ActionRequiredError):
    """The provider refuses this client; a retry with the same settings cannot succeed."""


class ConnectionLostError(RetryableError):
    """The WebSocket connection ended; the message says why."""


class LocalCloseError(ConnectionLostError):
    """This side ends the connection: frames that are still on their way are read first."""


class TryLaterError(LocalCloseError):
    """The provider ends the connection and accepts another one only after a while."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds
        """Seconds to wait before the next connection."""


class UnreachableError(ConnectionLostError):
    """The provider's server cannot be reached."""
