"""``policies.yaml``: the declared refresh, columnstore and retention policies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ticks_platform.settings_file import SettingsError, explain, read_settings, section
from ticks_platform.timescale.candles.candles import CANDLES, ONE_MINUTE, TICKS

FILE = "policies.yaml"

_PART = re.compile(r"\s*(\d+)\s*(second|minute|hour|day|week)s?\b")


class Kind(Enum):
    """What a policy does."""

    REFRESH = "refresh"
    COLUMNSTORE = "columnstore"
    RETENTION = "retention"
    NOTES = "notes"


class Terms(NamedTuple):
    """When a policy runs, and on which part of its table."""

    schedule_interval: timedelta
    offsets: Mapping[str, timedelta]
    """By their names in the configuration of the database's job."""


class Policy(NamedTuple):
    """One policy on one table, declared or off."""

    kind: Kind
    table: str

    @property
    def name(self) -> str:
        """The name of its asset."""
        kind = Kind.RETENTION if self.kind is Kind.NOTES else self.kind
        return f"{self.table}_{kind.value}_policy"


POLICIES = (
    *(Policy(Kind.REFRESH, candle.name) for candle in CANDLES),
    Policy(Kind.COLUMNSTORE, TICKS),
    *(Policy(Kind.RETENTION, table) for table in (TICKS, "stock_quotes", "stock_aggregates")),
    Policy(Kind.NOTES, "feed_notes"),
)
"""All that the file can declare, in the order in which they are created."""


NOTES = ("feed_session", "settled_gaps", "finished_repairs", "rejected_events")
"""Kinds of notes about feeds, as the database's job calls the age from which it deletes them."""


def _interval(value: Any) -> Any:
    """A text such as `1 day 12 hours`; months are refused, since they have no fixed length."""
    if isinstance(value, timedelta):
        return value
    text = str(value)
    parts = [(int(number), unit) for number, unit in _PART.findall(text)]
    try:
        total = sum((timedelta(**{f"{unit}s": number}) for number, unit in parts), timedelta())
    except OverflowError:
        raise ValueError("is longer than can be counted: leave it out, or say off, to keep all") from None
    if _PART.sub("", text).strip() or not total:
        raise ValueError("has to be a number of seconds, minutes, hours, days or weeks, such as '90 minutes'")
    return total


Interval = Annotated[timedelta, BeforeValidator(_interval)]


def _off(value: Any) -> Any:
    # YAML reads a bare `off` as a boolean.
    return None if value is False or value == "off" else value


KeptFor = Annotated[Interval | None, BeforeValidator(_off)]


Count = Annotated[int, Field(strict=True, gt=0)]
"""A positive number; YAML reads `yes` as a boolean, which would count as 1."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RefreshTerms(_Section):
    """Which candles a run refreshes, and how often."""

    start_offset: Interval
    end_offset: Interval
    schedule_interval: Interval


class ColumnstoreTerms(_Section):
    """The age from which chunks are stored by column, and how often the job runs."""

    after: Interval
    schedule_interval: Interval


class RetentionTerms(_Section):
    """The age from which chunks are dropped, and how often the job runs."""

    drop_after: Interval
    schedule_interval: Interval


class NotesTerms(_Section):
    """The ages from which notes about feeds are deleted, None if they are kept, and how often the job runs."""

    feed_session: KeptFor = None
    settled_gaps: KeptFor = None
    finished_repairs: KeptFor = None
    rejected_events: KeptFor = None
    schedule_interval: Interval


class _Refresh(_Section):
    one_minute_candle: RefreshTerms
    one_hour_candle: RefreshTerms
    one_day_candle: RefreshTerms

    @model_validator(mode="after")
    def _two_buckets(self) -> _Refresh:
        # The database requires it when a policy is created, but not when one is altered.
        for candle in CANDLES:
            terms: RefreshTerms = getattr(self, candle.name)
            if terms.start_offset - terms.end_offset < 2 * candle.bucket:
                raise ValueError(
                    f"{candle.name}: start_offset has to be at least two buckets ({2 * candle.bucket}) further back "
                    "than end_offset, or a run may find no whole bucket between them"
                )
        return self


class _Columnstore(_Section):
    stocks_real_time: Annotated[ColumnstoreTerms | None, BeforeValidator(_off)] = None


class _Retention(_Section):
    stocks_real_time: Annotated[RetentionTerms | None, BeforeValidator(_off)] = None
    stock_quotes: Annotated[RetentionTerms | None, BeforeValidator(_off)] = None
    stock_aggregates: Annotated[RetentionTerms | None, BeforeValidator(_off)] = None
    feed_notes: Annotated[NotesTerms | None, BeforeValidator(_off)] = None


class DagsterHistory(_Section):
    """How much Dagster's own storage keeps of the platform's runs, assets and checks."""

    runs: Count = 30
    """Newest runs of each job and partition that succeeded."""
    failed_runs: Count = 30
    """Newest runs of each job and partition that failed or were canceled."""
    days: Count = 30
    """Days after its end for which a run is kept at the most."""
    reports: Count = 300
    """Newest materializations and observations of each asset, and log lines of a run that goes on."""
    check_results: Count = 90
    """Newest results of each check."""


class PolicySettings(_Section):
    """The whole of policies.yaml. What it leaves out of columnstore and retention is off."""

    refresh: _Refresh
    columnstore: _Columnstore = _Columnstore()
    retention: _Retention = _Retention()
    dagster_history: DagsterHistory = DagsterHistory()

    @model_validator(mode="after")
    def _ticks_stay_as_long_as_candles_need_them(self) -> PolicySettings:
        # Hours and days are made from candles, which stay.
        window = self.refresh.one_minute_candle.start_offset + ONE_MINUTE.bucket
        kept = self.retention.stocks_real_time
        if kept and kept.drop_after < window:
            raise ValueError(
                f"retention.stocks_real_time: drop_after ({kept.drop_after}) has to be at least {window}, the "
                "start_offset of refresh.one_minute_candle and a bucket: a refresh of candles whose ticks are gone "
                "deletes them"
            )
        columnstore = self.columnstore.stocks_real_time
        if columnstore and columnstore.after < window:
            raise ValueError(
                f"columnstore.stocks_real_time: after ({columnstore.after}) has to be at least {window}, the "
                "start_offset of refresh.one_minute_candle and a bucket: until then late ticks are usual"
            )
        return self

    def terms(self, policy: Policy) -> Terms | None:
        """The terms of a policy; None when it is off."""
        section = self.retention if policy.kind is Kind.NOTES else getattr(self, policy.kind.value)
        found = getattr(section, policy.table)
        if isinstance(found, RefreshTerms):
            return Terms(found.schedule_interval, {"start_offset": found.start_offset, "end_offset": found.end_offset})
        if isinstance(found, ColumnstoreTerms):
            return Terms(found.schedule_interval, {"compress_after": found.after})
        if isinstance(found, RetentionTerms):
            return Terms(found.schedule_interval, {"drop_after": found.drop_after})
        if isinstance(found, NotesTerms):
            ages = {kind: getattr(found, kind) for kind in NOTES}
            return Terms(found.schedule_interval, {kind: age for kind, age in ages.items() if age is not None})
        return None


def load_policies(path: Path) -> PolicySettings:
    """Read and check policies.yaml. Raises SettingsError, naming the file and each field that is wrong."""
    content = section(read_settings(path), "policies")
    if path.name == "defs.yaml":
        content = content.get("policies")
    try:
        return PolicySettings.model_validate(content)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, place)) or '(top level)'}: {message}"
            for place, message in explain(error, PolicySettings)
        ]
        raise SettingsError(f"{path} has invalid settings:\n" + "\n".join(lines)) from None
