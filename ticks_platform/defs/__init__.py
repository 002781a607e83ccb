"""What Dagster runs and shows, a folder per subject: assets, jobs, schedules, sensors and checks.

`ticks_platform.definitions` loads every module below this folder. A function marked `@dg.definitions` returns what it
is named after, and Dagster calls each of them at load: write one, in the folder of its subject, and it exists. Files
and environment are read in these functions, never at import. A module with such functions has no other definitions
(Dagster would leave them out), and nobody imports such a function (Dagster would load it twice).

Code here is thin: a body calls the layer that does the work. SQL, files of feeds, providers and the journal belong to
`timescale`, `feeds` and `ingestion`, which know nothing of Dagster.
"""
