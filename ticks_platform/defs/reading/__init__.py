"""Candles as DataFrames for a project's own assets: an input manager and a resource. How rows are read is not here."""
