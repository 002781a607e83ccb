"""From frames to committed rows: buffer, loader, lease. It knows nothing of Dagster."""
