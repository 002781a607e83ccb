"""Live market ticks into TimescaleDB, candles out of it, and proof that both are right; run and seen in Dagster."""
