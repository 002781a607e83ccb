"""Groups: feeds that share a run, and so a process. All else of a feed stays its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Feed(Protocol):
    """What is asked of a feed's settings."""

    @property
    def name(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def group(self) -> str | None: ...
    @property
    def run_tags(self) -> dict[str, str]: ...


SomeFeed = TypeVar("SomeFeed", bound=Feed)


def runs(feeds: Sequence[SomeFeed]) -> dict[str, tuple[SomeFeed, ...]]:
    """The feeds of each run, by its name: that of the group, or of a feed that is in none."""
    found: dict[str, tuple[SomeFeed, ...]] = {}
    for feed in feeds:
        found[feed.run] = (*found.get(feed.run, ()), feed)
    return found


def check_groups(feeds: Sequence[Feed]) -> None:
    """Raises ValueError when runs could not be told apart, or a run would have to have two sets of tags."""
    names = {feed.name for feed in feeds}
    for name, members in runs(feeds).items():
        first = members[0]
        if name in names and any(feed.group is not None for feed in members):
            raise ValueError(f"must not have a feed and a group of one name: {name!r}")
        for feed in members[1:]:
            if feed.run_tags != first.run_tags:
                raise ValueError(
                    f"must give all feeds of a group the same run_tags, since they share a run: {first.name!r} and "
                    f"{feed.name!r} of group {name!r} differ"
                )
