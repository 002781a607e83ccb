"""What commands print."""

from __future__ import annotations

import click

from ticks_platform.escaping import lines
from ticks_platform.masking import mask


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a text without secrets, and without control characters, with which a symbol could move the cursor."""
    click.echo(lines(mask(str(text))), err=err)
