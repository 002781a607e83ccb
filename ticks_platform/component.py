"""The `dg` component `ticks_platform.Platform`: the platform as one defs.yaml of a project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from ticks_platform.definitions import platform_definitions
from ticks_platform.settings_file import SettingsError


class Platform(dg.Component, dg.Model, dg.Resolvable):
    """The platform's definitions. Its attributes are those of feeds.yaml and policies.yaml, or paths of such files.

    Without attributes the files of the project are used. Symbols that change in this file are followed without a
    restart, as those of feeds.yaml are.
    """

    feeds: Mapping[str, Any] | str | None = None
    """The feeds by name, as under ``feeds:`` in feeds.yaml; or the path of a feeds.yaml, relative to this file."""
    stand_in: Mapping[str, Any] | None = None
    """How the stand-in behaves, as under ``stand_in:`` in feeds.yaml."""
    policies: Mapping[str, Any] | str | None = None
    """All of a policies.yaml; or the path of one, relative to this file."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The platform's definitions, made from the attributes."""
        folder = Path(context.path)
        here = folder / "defs.yaml" if folder.is_dir() else folder
        if self.stand_in is not None and not isinstance(self.feeds, Mapping):
            raise SettingsError(f"{here}: `stand_in` belongs into the same file as the feeds")
        return platform_definitions(
            feeds_file=_file(self.feeds, here),
            policies_file=_file(self.policies, here),
        )


def _file(attribute: Mapping[str, Any] | str | None, here: Path) -> Path | None:
    if attribute is None:
        return None
    return here.parent / attribute if isinstance(attribute, str) else here
