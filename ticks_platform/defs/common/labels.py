"""What assets and jobs say of themselves: owners, kinds, pools, tags, and the file that defines them."""

from typing import Any

import dagster as dg

from ticks_platform.timescale import sql_files

OWNERS = ["team:market-data"]
KINDS = {"timescaledb", "postgres"}
MAX_RUNTIME = {"dagster/max_runtime": "3600"}
"""Seconds after which run monitoring fails a run: a run whose machine died would stay in flight for ever."""
LIVE = dg.DataVersion("live")
"""The data version of tables that change all the time: a new tick must not mark everything downstream as unsynced."""
REFRESH_POOL = "candle_refresh"
"""Refreshes take turns: two of one candle at once fail, and on some TimescaleDB releases give wrong candles."""


def defined_in(file: str) -> dict[str, Any]:
    """Metadata of an asset that a file under sql/ defines: its path and its text."""
    return {
        "definition": dg.MetadataValue.md(f"```sql\n{sql_files.read(file)}\n```"),
        "file": dg.MetadataValue.path(f"sql/{file}"),
    }


READER_TAG = ("ticks/grants", "reader")
"""On the asset `reader`, which is there only where a role is named."""
