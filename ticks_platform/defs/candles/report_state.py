"""What the sensor `report_newest` remembers between its evaluations, and when a report is due."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone

PERIOD = 240.0
"""Seconds between two reports of what always changes, at its multiples: check_quality runs then, and awaits them."""


@dataclass
class Reported:
    """What was reported last to an asset. Times are seconds since 1970; 0 is never."""

    materialized: float = 0.0
    asked: float = 0.0
    """When the database was asked last without a report."""
    newest: str = ""
    """The newest closed bucket, or the newest row, in ISO format."""
    words: str = ""
    """What was said of its state."""
    looked: str = ""
    """When changes were looked for last, by the database's clock, in ISO format."""
    digests: dict[str, str] = field(default_factory=dict)
    """Of closed buckets, what they showed; by their begin in seconds."""
    corrections: int = 0
    """Since the newest closed bucket."""
    corrected: list[str] = field(default_factory=list)
    """Hours that were corrected, to be reported next, in ISO format."""
    loaded: dict[str, int] = field(default_factory=dict)
    """Ticks that each feed had loaded."""

    def is_due(self, now: float) -> bool:
        """Whether a report is due that comes every few minutes."""
        # It cannot have been in the future: this machine's clock was set back.
        return now < self.materialized or now // PERIOD > self.materialized // PERIOD

    def changes(
        self, closed: Mapping[datetime, str], *, oldest: datetime, seen_from: datetime | None = None
    ) -> list[datetime]:
        """The buckets that are not as they were, which are then remembered; those before `oldest` only for a while.

        `closed` has all buckets after `seen_from`: one that is missing has lost its last candle.
        """
        found = {_key(bucket): zlib.crc32(digest.encode()) for bucket, digest in closed.items()}
        changed = [bucket for bucket in closed if self.digests.get(_key(bucket)) != f"{found[_key(bucket)]:x}"]
        gone = set[str]()
        if seen_from is not None:
            gone = {key for key in self.digests if int(key) > seen_from.timestamp() and key not in found}
            changed += [datetime.fromtimestamp(int(key), tz=timezone.utc) for key in gone]
        kept = {
            key: digest for key, digest in self.digests.items() if int(key) >= oldest.timestamp() and key not in gone
        }
        self.digests = {**kept, **{key: f"{digest:x}" for key, digest in found.items()}}
        return sorted(changed)


def _key(bucket: datetime) -> str:
    return str(int(bucket.timestamp()))


class State(dict[str, Reported]):
    """By asset."""

    @classmethod
    def load(cls, cursor: str | None) -> State:
        """From the sensor's cursor; empty where that is none, or of another release."""
        try:
            return cls({name: Reported(**fields) for name, fields in json.loads(cursor or "{}").items()})
        except (ValueError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        """For the sensor's cursor, which Dagster keeps with each evaluation: what is empty is left out."""
        return json.dumps(
            {name: {key: value for key, value in asdict(each).items() if value} for name, each in self.items()},
            separators=(",", ":"),
        )

    def of(self, asset: str) -> Reported:
        """What is remembered of an asset."""
        return self.setdefault(asset, Reported())


def moment(text: str) -> datetime | None:
    """A time that was remembered; None where there is none."""
    return datetime.fromisoformat(text).astimezone(timezone.utc) if text else None
