"""The group of all subcommands."""

from __future__ import annotations

import importlib
import keyword
from typing import Any

import click

import ticks_platform
from ticks_platform import masking
from ticks_platform.cli.output import echo
from ticks_platform.cli.project import read_env_file
from ticks_platform.errors import TicksPlatformError
from ticks_platform.settings_file import did_you_mean

_COMMANDS = {
    "init": "init",
    "dev": "dev",
    "live": "live",
    "metrics": "metrics",
    "ingest": "ingest",
    "doctor": "doctor",
    "status": "status",
    "explain": "explain",
    "database": "database",
    "export": "export",
    "import": "import_files",
    "replay": "journals",
    "reload-rejected": "journals",
    "declare": "declare",
    "standin": "standin",
}
"""Each subcommand, and the module of this package that has it."""


class _Group(click.Group):
    """Imports a subcommand when it is called, and shows the platform's errors as a message without a traceback."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"ticks_platform.cli.{_COMMANDS[name]}")
        attribute = f"{name}_" if keyword.iskeyword(name) else name.replace("-", "_")
        command: click.Command = getattr(module, attribute)
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, arguments)
        except click.UsageError as error:
            hint = did_you_mean(arguments[0], _COMMANDS).removeprefix(";")
            raise click.UsageError(f"{error.message}{hint}", error.ctx) from None

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except TicksPlatformError as error:
            message = str(error)
        except click.UsageError as error:
            # click prints it, with what was typed: an address with its password, for example.
            raise click.UsageError(masking.mask(error.format_message()), error.ctx) from None
        except BrokenPipeError:
            # `ticks status | head`: click ends quietly.
            raise
        except OSError as error:
            # A folder that may not be written to, a full disk.
            message = f"{error.filename or 'a file'} cannot be used: {error.strerror or error}"
        except Exception as error:
            # Imported now: the database's modules take longer to import than this one.
            said = importlib.import_module("ticks_platform.cli.database_error").in_words(error)
            if said is None:
                raise
            message = said
        echo(f"ticks: {message}", err=True)
        return context.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(ticks_platform.__version__, prog_name="ticks")
def ticks() -> None:
    """Live market ticks into TimescaleDB, candles out of it, and proof that both are right.

    Commands work on the project in the current folder: the one with feeds.yaml, here or above. TICKS_PROJECT_DIR names
    another one. Settings and keys in its .env are read where the environment does not have them.
    """
    read_env_file()
    masking.install()


def main() -> None:
    """Entry point of the console script."""
    ticks(prog_name="ticks")


if __name__ == "__main__":
    main()
