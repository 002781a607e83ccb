"""The candles as assets, and refreshing or rebuilding them where refresh policies do not. Policies have a folder."""
