"""``ticks standin``: the stand-in feed server."""

from __future__ import annotations

import sys

import click

from ticks_standin.__main__ import main


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def standin(arguments: tuple[str, ...]) -> None:
    """Serve synthetic ticks by the providers' protocols, on loopback (ticks standin --help)."""
    sys.exit(main(list(arguments)))
