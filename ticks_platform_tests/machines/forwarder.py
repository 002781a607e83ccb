"""Forwards connections from one address to the same ports of another: `python -m … LISTEN TARGET PORT…`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from functools import partial


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await source.read(65_536):
            target.write(part)
            await target.drain()
    with contextlib.suppress(OSError):
        target.close()


async def _serve(host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        back_reader, back_writer = await asyncio.open_connection(host, port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer))


async def _main(listen: str, target: str, ports: list[int]) -> None:
    for port in ports:
        await asyncio.start_server(partial(_serve, target, port), listen, port, backlog=200)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]))
