"""The database: reach it, apply the SQL files, copy rows in, run its policies. It knows nothing of Dagster."""
