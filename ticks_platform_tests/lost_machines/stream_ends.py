"""Up to where the servers have each journal, asked without any of the platform's code."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import nats
import nats.errors
import nats.js.errors


class Copied(NamedTuple):
    """How far a journal's last message in the stream goes."""

    begin: int
    end: int


def copied(urls: Sequence[str], stream: str, journal_ids: Sequence[str]) -> Mapping[str, Copied]:
    """The last message of each of these journals that has one."""
    return asyncio.run(_copied(urls, stream, journal_ids))


async def _copied(urls: Sequence[str], stream: str, journal_ids: Sequence[str]) -> dict[str, Copied]:
    for attempt in range(60):
        with contextlib.suppress(nats.errors.Error, nats.js.errors.Error, OSError, asyncio.TimeoutError):
            client = await nats.connect(urls[attempt % len(urls)], allow_reconnect=False, connect_timeout=2)
            try:
                found = {}
                for journal_id in journal_ids:
                    with contextlib.suppress(nats.js.errors.NotFoundError):
                        subject = f"{stream}.journal.{journal_id}"
                        message = await client.jetstream(timeout=2).get_last_msg(stream, subject)
                        headers = message.headers or {}
                        found[journal_id] = Copied(int(headers["Ticks-Position"]), int(headers["Ticks-End"]))
                return found
            finally:
                await client.close()
        await asyncio.sleep(0.5)
    raise AssertionError(f"no server tells of the stream {stream}")
