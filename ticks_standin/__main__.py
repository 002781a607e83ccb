"""``python -m ticks_standin``: the stand-in feed server on the command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pydantic

from ticks_standin.commands import Commands
from ticks_standin.daemon import serve_until_unused
from ticks_standin.errors import StandInError
from ticks_standin.process import Greeting
from ticks_standin.remote import dispatch
from ticks_standin.server.feed_server import FeedServer
from ticks_standin.settings import StandInSettings
from ticks_standin.urls import http_url, provider_urls


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ticks_standin",
        description="A local server that speaks the feed providers' protocols, with made-up prices.",
        epilog="The first line printed is JSON and says where the server listens.",
    )
    for name, field in StandInSettings.model_fields.items():
        option = "--" + name.replace("_", "-")
        text = f"{field.description} (default: {field.default!s:.20})".replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        elif isinstance(field.default, frozenset):
            listed = f"{field.description}; separated by commas"
            parser.add_argument(option, type=_comma_list, default=argparse.SUPPRESS, help=listed)
        else:
            parser.add_argument(option, default=argparse.SUPPRESS, help=text)
    parser.add_argument(
        "--exit-with-stdin",
        action="store_true",
        help="take commands from standard input, one line of JSON each, and exit when it ends",
    )
    parser.add_argument(
        "--announce-in",
        type=Path,
        help="write this file, which says where it listens; exit when it is removed, or when nobody connects for long",
    )
    return parser


def _comma_list(text: str) -> frozenset[str]:
    return frozenset(item for item in text.split(",") if item)


def _print(line: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


async def _serve(settings: StandInSettings, *, exit_with_stdin: bool, announce_in: Path | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = FeedServer(settings)
    await server.start()
    host, port = server.address
    _print(Greeting(host, port, provider_urls(host, port), http_url(host, port)))
    if exit_with_stdin:
        reading = threading.Thread(target=_read_calls, args=(loop, Commands(server), stop), daemon=True)
        reading.start()
    if announce_in is not None:
        await serve_until_unused(server, settings, announce_in, stop)
    await stop.wait()
    await server.stop()


def _read_calls(loop: asyncio.AbstractEventLoop, commands: Commands, stop: asyncio.Event) -> None:
    async def answer(line: bytes) -> None:
        _print(await dispatch(commands, line))

    # Unbuffered reads: a thread that waits inside a buffered one keeps the interpreter from shutting down cleanly.
    received = b""
    while chunk := os.read(0, 1 << 16):
        *lines, received = (received + chunk).split(b"\n")
        for line in lines:
            asyncio.run_coroutine_threadsafe(answer(line), loop)
    # The loop is closed already when a signal ended the server at the same time, as Ctrl+C in a terminal does.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal, or the end of standard input; returns the exit code."""
    logging.basicConfig(level=logging.WARNING)
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    exit_with_stdin, announce_in = given.pop("exit_with_stdin"), given.pop("announce_in")
    try:
        settings = StandInSettings(**given)
    except pydantic.ValidationError as error:
        problems = (f"--{'-'.join(map(str, e['loc'])).replace('_', '-')}: {e['msg']}" for e in error.errors())
        parser.error("; ".join(problems))
    try:
        asyncio.run(_serve(settings, exit_with_stdin=exit_with_stdin, announce_in=announce_in))
    except StandInError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"the stand-in cannot listen on {settings.host}:{settings.port}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
