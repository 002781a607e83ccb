"""What is stored, as DataFrames: candles, ticks, quotes, bars, gaps and symbols.

Each call is one statement over SQLAlchemy. Whole frames are built from parts, so that the rows are never in memory as
Python objects all at once; `chunksize` hands out the parts.
"""

from ticks_platform.reading.arguments import ReadingError
from ticks_platform.reading.candle_rows import candles
from ticks_platform.reading.known_symbols import UnknownSymbolError
from ticks_platform.reading.rows import bars, gaps, quotes, symbols, ticks

__all__ = ["ReadingError", "UnknownSymbolError", "bars", "candles", "gaps", "quotes", "symbols", "ticks"]
