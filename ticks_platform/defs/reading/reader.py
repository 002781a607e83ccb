"""The resource `ticks_reader`: what is stored, as DataFrames, from the platform's database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from ticks_platform.defs.common.resources import DatabaseResource

if TYPE_CHECKING:
    from ticks_platform.reading.arguments import Every, Moment, Symbols


class ReaderResource(dg.ConfigurableResource["ReaderResource"]):
    """`ticks_platform.candles` and the other calls that read, of the platform's database.

    Parameters, frames and errors are those of the functions with these names.
    """

    database: DatabaseResource

    def candles(
        self, symbols: Symbols = None, every: Every = "1m", start: Moment = None, end: Moment = None, **options: Any
    ) -> Any:
        """Candles, as of `ticks_platform.candles`."""
        return _reading().candles(symbols, every, start, end, database=self.database.database, **options)

    def ticks(self, symbols: Symbols = None, start: Moment = None, end: Moment = None, **options: Any) -> Any:
        """Ticks, as of `ticks_platform.ticks`."""
        return _reading().ticks(symbols, start, end, database=self.database.database, **options)

    def quotes(self, symbols: Symbols = None, start: Moment = None, end: Moment = None, **options: Any) -> Any:
        """Best bids and offers, as of `ticks_platform.quotes`."""
        return _reading().quotes(symbols, start, end, database=self.database.database, **options)

    def bars(
        self, symbols: Symbols = None, every: Every = "1m", start: Moment = None, end: Moment = None, **options: Any
    ) -> Any:
        """The provider's bars, as of `ticks_platform.bars`."""
        return _reading().bars(symbols, every, start, end, database=self.database.database, **options)

    def gaps(self, symbols: Symbols = None, start: Moment = None, end: Moment = None, **options: Any) -> Any:
        """Gaps, as of `ticks_platform.gaps`."""
        return _reading().gaps(symbols, start, end, database=self.database.database, **options)

    def symbols(self, **options: Any) -> Any:
        """The symbols, as of `ticks_platform.symbols`."""
        return _reading().symbols(database=self.database.database, **options)


def _reading() -> Any:
    # Runs and code servers that read no frames do not import SQLAlchemy and NumPy for them.
    from ticks_platform import reading

    return reading
