"""What assets and jobs say of themselves: owners, kinds, pools, tags, and the file that defines them."""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import dagster as dg

from ticks_platform.timescale import sql_files

OWNERS = ["team:market-data"]
KINDS = {"timescaledb", "postgres"}
MAX_RUNTIME = {"dagster/max_runtime": "3600"}
"""Seconds after which run monitoring fails a run: a run whose machine died would stay in flight for ever."""
FOR_OPERATORS = {"for": "operators"}
"""Of jobs that a person launches; the other ones are launched by schedules and sensors."""
LONG_BY_HAND = {**FOR_OPERATORS, "dagster/max_runtime": str(24 * 3600)}
"""Of jobs that a person launches and that may read everything."""
URGENT = {**FOR_OPERATORS, "dagster/priority": "10"}
"""Of jobs that a person has launched about a feed and waits for: before all others in the queue."""
INGESTION = {"dagster/priority": "5"}
"""Of the runs that receive: before routine ones, which have none."""
HOUSEKEEPING = {"dagster/priority": "-1"}
"""Of what may wait."""
LIVE = dg.DataVersion("live")
"""The data version of tables that change all the time: a new tick must not mark everything downstream as unsynced."""


def as_in_sync(sources: Mapping[str, str]) -> dict[str, str]:
    """Tags of a materialization that has no step of its own, so that it is not shown as unsynced with its sources.

    `sources` are the assets that it is made of, each with its data version. Dagster notes the same with a step.
    """
    tags = {"dagster/data_version": LIVE.value, "dagster/data_version_is_user_provided": "true"}
    if sources:
        tags["dagster/code_version"] = "reported"
    for source, version in sources.items():
        tags |= {f"dagster/input_data_version/{source}": version, f"dagster/input_event_pointer/{source}": "NULL"}
    return tags


REFRESH_POOL = "candle_refresh"
"""Refreshes take turns: two of one candle at once fail, and on some TimescaleDB releases give wrong candles."""


def defined_in(file: str) -> dict[str, Any]:
    """Metadata of an asset that a file under sql/ defines: its path and its text."""
    return {
        "definition": dg.MetadataValue.md(f"```sql\n{sql_files.read(file)}\n```"),
        "file": dg.MetadataValue.path(f"sql/{file}"),
    }


def live_page(description: str, **query: str) -> tuple[str, dict[str, Any]]:
    """Description and metadata of an asset with the address of the live page, where `ticks dev` serves it."""
    url = os.environ.get("TICKS_LIVE_URL")
    if not url:
        return description, {}
    address = f"{url}/?{urlencode(query)}" if query else url
    picture = f"{url}/chart.svg?{urlencode(query)}" if query else f"{url}/chart.svg"
    # Dagster shows the first 230 pixels of a description: its page is alive, and so is this each time it is opened.
    image = f"[![the newest candles, while the live page runs]({picture})]({address})"
    return f"{description} [Live page]({address}).\n\n{image}", {"live page": dg.MetadataValue.url(address)}


READER_TAG = ("ticks/grants", "reader")
"""On the asset `reader`, which is there only where a role is named."""
