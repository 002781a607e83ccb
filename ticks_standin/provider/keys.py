"""Which API keys are accepted."""

from __future__ import annotations

from collections.abc import Sequence

from ticks_standin.settings import StandInSettings

ALWAYS_ACCEPTED_KEY = "demo"


class Keys:
    """The keys of the settings, without those that were revoked since."""

    def __init__(self, settings: StandInSettings) -> None:
        self._known = settings.keys
        self._revoked: set[str] = set()
        self._all_revoked = False

    def accepts(self, key: str | None) -> bool:
        """Whether this key is accepted."""
        if not key or self._all_revoked or key in self._revoked:
            return False
        return not self._known or key in self._known or key == ALWAYS_ACCEPTED_KEY

    def revoke(self, keys: Sequence[str]) -> None:
        """Accept these keys no longer; none at all, if none is given."""
        self._revoked.update(keys)
        self._all_revoked = self._all_revoked or not keys

    def restore(self) -> None:
        """Accept the keys of the settings again."""
        self._revoked.clear()
        self._all_revoked = False
