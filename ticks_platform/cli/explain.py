"""``ticks explain``: where a candle comes from."""

from __future__ import annotations

import json

import click

from ticks_platform.cli.output import echo
from ticks_platform.cli.project import CommandError, project
from ticks_platform.timescale.candles import explanation, explanation_text
from ticks_platform.timescale.database import Database


@click.command()
@click.argument("symbol")
@click.argument("time")
@click.option(
    "--every", type=click.Choice(list(explanation.WIDTHS)), default="1m", show_default=True, help="Which candle."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def explain(symbol: str, time: str, every: str, as_json: bool) -> None:
    """Explain the candle of SYMBOL that holds TIME, as in `ticks explain AAPL 2026-03-03T20:00Z`.

    Shows the ticks that its prices come from, the ticks that were left out and why, what was taken back or came late,
    gaps, the provider's bar; or why there is no candle. A time without a zone is UTC.
    """
    project()
    try:
        at, has_zone = explanation.parse_time(time)
    except ValueError:
        raise CommandError(f"{time!r} is not a time: write it as 2026-03-03T20:00Z or 2026-03-03T15:00-05:00") from None
    if not has_zone:
        echo(f"{time} has no zone: taken as UTC", err=True)
    with Database.from_environment().transaction() as cursor:
        answer = explanation.explain(cursor, symbol, at, explanation.WIDTHS[every])
    echo(json.dumps(answer, indent=2) if as_json else explanation_text.text(answer))
