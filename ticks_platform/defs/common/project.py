"""The files of the project folder that definitions are made from; read at load, so that a reload reads them again."""

from pathlib import Path

from ticks_platform.feeds.settings import PlatformSettings, load_settings
from ticks_platform.paths import project_root
from ticks_platform.timescale.policies.settings import FILE


def feeds_file() -> Path:
    """Path of feeds.yaml."""
    return project_root() / "feeds.yaml"


def feed_settings() -> PlatformSettings:
    """What feeds.yaml says. Raises SettingsError."""
    return load_settings(feeds_file())


def policies_file() -> Path:
    """Path of policies.yaml."""
    return project_root() / FILE
