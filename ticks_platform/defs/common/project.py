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


@contextmanager
def files(*, feeds: Path | str | None, policies: Path | str | None) -> Iterator[None]:
    """Definitions that are made in this context are made from these files; None means the project's own."""
    tokens = _feeds.set(Path(feeds) if feeds else None), _policies.set(Path(policies) if policies else None)
    try:
        yield
    finally:
        _feeds.reset(tokens[0])
        _policies.reset(tokens[1])


def feeds_file() -> Path:
    """Path of feeds.yaml. To be asked while definitions are made, not when they run."""
    return _feeds.get() or project_root() / "feeds.yaml"


def feed_settings() -> PlatformSettings:
    """What feeds.yaml says. Raises SettingsError."""
    return load_settings(feeds_file())


def policies_file() -> Path:
    """Path of policies.yaml. To be asked while definitions are made, not when they run."""
    return _policies.get() or project_root() / FILE
