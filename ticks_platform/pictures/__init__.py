"""Pictures of candles, drawn without a plotting library."""
