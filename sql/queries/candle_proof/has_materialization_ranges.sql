-- Whether this release of TimescaleDB notes what a refresh is about to materialize.
SELECT to_regclass('_timescaledb_catalog.continuous_aggs_materialization_ranges') IS NOT NULL;
