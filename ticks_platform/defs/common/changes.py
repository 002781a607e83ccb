"""Which buckets of a candle have changed since an asset was made of it."""

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from ticks_platform.intervals import merge

CHANGED = "changed buckets"
"""The entry of a report that has them: a list of begin and end, of buckets that follow each other as one."""

_PAGE = 500

Spans = list[tuple[datetime, datetime]]


def spans_metadata(spans: Iterable[tuple[datetime, datetime]]) -> dg.JsonMetadataValue:
    """Spans as an entry of a report."""
    return dg.MetadataValue.json([[_text(begin), _text(end)] for begin, end in spans])


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%MZ}"


def changed_buckets(context: dg.AssetExecutionContext, candle: str) -> Spans | None:
    """Which buckets of a candle asset are new or corrected since this asset was materialized last.

    Spans of time, half-open, UTC, in order; buckets that follow each other are one span. None means that all may have
    changed: this asset was never materialized, or too long ago, or somebody has materialized the candle. `candle` is
    the key of the candle's asset, such as ``one_hour_candle``, which this asset must depend on. Closed buckets alone
    are reported. A span may be told twice, but none is left out: if a run fails, the next is told its spans again.
    """
    key = dg.AssetKey.from_user_string(candle)
    last = context.instance.get_latest_materialization_event(context.asset_key)
    made = last.asset_materialization if last is not None else None
    # Dagster notes with each materialization which ones of its sources it has seen.
    seen = (made.tags or {}).get(f"dagster/input_event_pointer/{key.to_user_string()}") if made is not None else None
    if seen is None or not seen.isdigit():
        return None
    known = context.instance.fetch_materializations(dg.AssetRecordsFilter(key, storage_ids=[int(seen)]), limit=1)
    if not known.records:
        # Purged, and what was reported after it may be, too.
        return None
    found: list[tuple[datetime, datetime]] = []
    filters = dg.AssetRecordsFilter(asset_key=key, after_storage_id=int(seen))
    page = context.instance.fetch_materializations(filters, limit=_PAGE)
    while True:
        for record in page.records:
            spans = reported_spans(record.asset_materialization)
            if spans is None:
                return None
            found += spans
        if not page.has_more:
            return [(begin, end) for begin, end in merge(sorted(found))]
        page = context.instance.fetch_materializations(filters, limit=_PAGE, cursor=page.cursor)


def reported_spans(made: dg.AssetMaterialization | None) -> Spans | None:
    """What one report of a candle says has changed; None if it does not say."""
    value: Any = made.metadata.get(CHANGED) if made is not None else None
    if not isinstance(value, dg.JsonMetadataValue) or not isinstance(value.data, list):
        return None
    return [
        (datetime.fromisoformat(begin.replace("Z", "+00:00")), datetime.fromisoformat(end.replace("Z", "+00:00")))
        for begin, end in value.data
    ]
