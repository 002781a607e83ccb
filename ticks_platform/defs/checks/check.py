"""A row of the table of checks, and how it becomes an asset check."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import dagster as dg
import psycopg2.errors

from ticks_platform.defs.common.examples import examples, explained
from ticks_platform.defs.common.labels import REFRESH_POOL
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.escaping import markdown
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.masking import mask
from ticks_platform.quantities import Count
from ticks_platform.timescale import quality
from ticks_platform.timescale.candles import definitions
from ticks_platform.timescale.candles.candles import CANDLES, ONE_MINUTE, Candle

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN

LAST = {"dagster/priority": "-1"}
"""Tags of checks that heal: in a run of all checks, the others see first what there is to see."""


_SCHEDULE_TAG = "dagster/schedule_name"
"""A tag that Dagster gives the runs of schedules."""


class Subject(NamedTuple):
    """What a check is about."""

    asset: str
    database: DatabaseResource
    settings: PlatformSettings
    """feeds.yaml, as it was when the definitions were loaded."""
    policies: Path
    """policies.yaml."""
    by_schedule: bool = False
    """Whether a schedule runs the check, and not a person who wants to know how it is now."""

    @property
    def candle(self) -> Candle:
        """The candle that the asset is."""
        return next(candle for candle in CANDLES if candle.name == self.asset)


class Verdict(NamedTuple):
    """What a check has found."""

    passed: bool
    description: str
    metadata: Mapping[str, dg.MetadataValue] = MappingProxyType({})
    severity: dg.AssetCheckSeverity | None = None
    """Of this finding; None means that of the table."""


@dataclass(frozen=True)
class Query:
    """A judge that is one query: it returns how many rows were judged, how many offend, and examples of those."""

    file: str
    """Under sql/; `{candle}` in it stands for the table that the asset is."""
    good: str
    bad: str
    """What is said, with `{judged}` and `{offending}`, or `{judged:feed}` for the number with its noun."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, str] = ("judged", "offending")
    """What the two numbers are called in the metadata."""
    follows: timedelta | None = None
    """How far back it looks, if the schedule reads candles of a minute only when they are new or have changed."""

    def __call__(self, subject: Subject) -> Verdict:
        with subject.database.transaction() as cursor:
            if self.follows is not None and subject.by_schedule and subject.asset == ONE_MINUTE.name:
                found = quality.find_new(cursor, self.file, subject.asset, self.parameters, window=self.follows)
            else:
                found = quality.find(cursor, self.file, subject.asset, self.parameters)
        return self.verdict(found, subject)

    def verdict(self, found: quality.Finding, subject: Subject) -> Verdict:
        """What is said of what was found."""
        words = self.bad if found.offending else self.good
        numbers = (found.judged, found.offending)
        return Verdict(
            passed=found.offending == 0,
            description=words.format(judged=Count(found.judged), offending=Count(found.offending)),
            metadata={
                **{label: dg.MetadataValue.int(number) for label, number in zip(self.labels, numbers, strict=True)},
                **examples(explained(found.examples, subject.asset)),
            },
        )


class Check(NamedTuple):
    """A row of the table: one check, on one asset or on several."""

    name: str
    assets: tuple[str, ...]
    judge: Callable[[Subject], Verdict]
    """A Query, or a function that does what a query cannot."""
    severity: dg.AssetCheckSeverity
    """Of a failure, where the judge does not say another."""
    description: str
    """What it proves, for the UI; `{asset}` in it stands for the asset."""
    blocking: bool = False
    """Whether an error stops what is made from the asset in the same run."""
    heals: bool = False
    """Whether it refreshes candles; then it takes turns with other refreshes, and comes after the other checks."""
    daily: bool = False
    """Whether it runs once a day instead of every few minutes, since it reads a whole table."""


def asset_checks(check: Check, settings: PlatformSettings, policies: Path) -> Iterator[dg.AssetChecksDefinition]:
    """The check on each of its assets, as Dagster runs it."""
    for asset in check.assets:
        yield _asset_check(check, asset, settings, policies)


def _asset_check(check: Check, asset: str, settings: PlatformSettings, policies: Path) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=check.name,
        description=check.description.format(asset=asset),
        blocking=check.blocking,
        pool=REFRESH_POOL if check.heals else None,
        op_tags=LAST if check.heals else None,
    )
    def run(context: dg.AssetCheckExecutionContext, ticks_database: DatabaseResource) -> dg.AssetCheckResult:
        try:
            by_schedule = _SCHEDULE_TAG in context.run.tags
            verdict = check.judge(Subject(asset, ticks_database, settings, policies, by_schedule))
        except psycopg2.errors.UndefinedColumn:
            old = _not_as_in_their_files(ticks_database)
            if not old:
                raise
            words = f"not judged: {', '.join(old)} not as in the file; run the job rebuild_candle"
            verdict = Verdict(passed=False, description=words, severity=WARN)
        return dg.AssetCheckResult(
            passed=verdict.passed,
            severity=verdict.severity or check.severity,
            # The UI reads it as Markdown, and it names symbols.
            description=markdown(mask(verdict.description)),
            metadata=verdict.metadata,
        )

    return run


def _not_as_in_their_files(database: DatabaseResource) -> list[str]:
    """The candles that are to be rebuilt, such as those of an older release."""
    with database.transaction() as cursor:
        return [candle.name for candle in CANDLES if definitions.drift(cursor, candle) is not None]
