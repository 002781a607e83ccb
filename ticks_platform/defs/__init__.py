"""What Dagster runs and shows. Thin: each body calls the layer that does the work."""
