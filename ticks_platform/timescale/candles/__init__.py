"""Candles: what is in them, how they are refreshed, compared with their ticks, and rebuilt when their file has changed.

Not here: the SELECT that makes a candle, which is its file in ``sql/candles/``, and the policies that refresh it.
"""
