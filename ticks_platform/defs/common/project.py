"""The files of the project that definitions are made from; read at load, so that a reload reads them again."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from ticks_platform.feeds.settings import PlatformSettings, load_settings
from ticks_platform.paths import project_root
from ticks_platform.timescale.policies.settings import FILE

_feeds: ContextVar[Path | None] = ContextVar("feeds_file", default=None)
_policies: ContextVar[Path | None] = ContextVar("policies_file", default=None)
_settings: ContextVar[list[PlatformSettings] | None] = ContextVar("settings", default=None)


@contextmanager
def files(*, feeds: Path | str | None, policies: Path | str | None) -> Iterator[None]:
    """Definitions that are made in this context are made from these files; None means the project's own.

    feeds.yaml is read once in it, so that all of them are made from the same version of it.
    """
    feeds_token = _feeds.set(Path(feeds) if feeds else None)
    policies_token = _policies.set(Path(policies) if policies else None)
    settings_token = _settings.set([])
    try:
        yield
    finally:
        _feeds.reset(feeds_token)
        _policies.reset(policies_token)
        _settings.reset(settings_token)


def feeds_file() -> Path:
    """Path of feeds.yaml. To be asked while definitions are made, not when they run."""
    return _feeds.get() or project_root() / "feeds.yaml"


def feed_settings() -> PlatformSettings:
    """What feeds.yaml says. Raises SettingsError."""
    read = _settings.get()
    if read is None:
        return load_settings(feeds_file())
    if not read:
        read.append(load_settings(feeds_file()))
    return read[0]


def policies_file() -> Path:
    """Path of policies.yaml. To be asked while definitions are made, not when they run."""
    return _policies.get() or project_root() / FILE
