"""Which API keys are let in."""

from __future__ import annotations

from collections.abc import Sequence

from ticks_standin.settings import StandInSettings

ALWAYS_ACCEPTED_KEY = "demo"


class Keys:
    """The keys of the settings, less those that were revoked since."""

    def __init__(self, settings: StandInSettings) -> None:
        self._known = settings.keys
        self._revoked: set[str] = set()
        self._all_revoked = False

    def accepts(self, key: str | None) -> bool:
        """Whether a connection with this key is let in."""
        if not key or self._all_revoked or key in self._revoked:
            return False
        return not self._known or key in self._known or key == ALWAYS_ACCEPTED_KEY

    def revoke(self, keys: Sequence[str]) -> None:
        """Let these keys in no longer; all, if none is named."""
        self._revoked.update(keys)
        self._all_revoked = self._all_revoked or not keys

    def restore(self) -> None:
        """Let all in again that the settings allow."""
        self._revoked.clear()
        self._all_revoked = False
