"""What Dagster's storage keeps of our runs, assets and checks, and the job that purges the rest.

Not here: what the database keeps (`policies`), and ticks of schedules and sensors, whose retention dagster.yaml says.
"""
