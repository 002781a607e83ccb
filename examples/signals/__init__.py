"""Signals from candles: features per closed hour, their checks, and a backtest that knows nothing of the future."""
