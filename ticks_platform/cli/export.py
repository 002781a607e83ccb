"""``ticks export``: a feed's journal into a file, or candles and ticks into files of Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import click

from ticks_platform.cli.journals import errors_of_files
from ticks_platform.cli.output import echo
from ticks_platform.cli.project import project
from ticks_platform.feeds.settings import load_settings
from ticks_platform.ingestion.journal.journal_pair import journal_pair
from ticks_platform.ingestion.replay import export as export_journal
from ticks_platform.paths import journal_path
from ticks_platform.reading.parquet import export as export_parquet


@click.command()
@click.argument("what", metavar="FEED|candles|ticks")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--to", "folder", type=click.Path(path_type=Path), help="The folder of the files of Parquet.")
@click.option("--symbol", "symbols", multiple=True, help="One of the symbols; may be repeated. Default: all.")
@click.option("--every", default="1m", show_default=True, help="Length of the candles: 5m, 1h, 1d, session, …")
@click.option("--start", help="The first time (UTC, where it has no offset). Default: that of the first row.")
@click.option("--end", help="The time before which rows are. Default: none.")
def export(
    what: str,
    file: Path | None,
    folder: Path | None,
    symbols: tuple[str, ...],
    every: str,
    start: str | None,
    end: str | None,
) -> None:
    """Copy what waits in the journals of FEED to FILE, or candles or ticks to --to DIR.

    A second journal, which a hand-over leaves, goes to a file beside it. Candles and ticks become files of Parquet by
    day and symbol; those of a day and symbol that are there already are replaced.
    """
    if folder is None:
        if file is None:
            raise click.UsageError("say where to: `ticks export FEED FILE`, or `ticks export candles|ticks --to DIR`")
        _export_journals(what, file)
        return
    if what not in ("candles", "ticks") or file is not None:
        raise click.UsageError(
            "`--to DIR` takes candles or ticks; a feed's journals go to a file: `ticks export FEED FILE`"
        )
    kind = cast(Literal["candles", "ticks"], what)
    with errors_of_files():
        rows = export_parquet(kind, folder, symbols=list(symbols) or None, every=every, start=start, end=end)
    echo(f"{folder}: {rows} {what}")


def _export_journals(feed: str, file: Path) -> None:
    settings = load_settings(project() / "feeds.yaml")
    first = journal_path(settings.feed(feed).name)
    with errors_of_files():
        for source, target in zip(journal_pair(first), journal_pair(file), strict=True):
            if source == first or source.exists():
                echo(f"{target}: {export_journal(source, target)} frames")
