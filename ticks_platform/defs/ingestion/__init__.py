"""The run of each feed, the sensor that keeps it alive, and the jobs that switch a feed or replace its run.

How a feed is received and stored is in `ticks_platform.ingestion`; whether that went well is a question of `checks`.
"""
