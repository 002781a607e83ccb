-- Where the continuous aggregates directly on a hypertable are behind in its chunks that end before a time, as TimescaleDB records it:
-- one row for each aggregate and chunk.
CREATE OR REPLACE FUNCTION ticks_platform.candles_behind(hypertable text, before timestamptz)
RETURNS TABLE (candle text, begins_at timestamptz, ends_at timestamptz)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    WITH aggregate AS (
        SELECT format('%I.%I', user_view_schema, user_view_name) AS name, mat_hypertable_id, raw_hypertable_id
        FROM _timescaledb_catalog.continuous_agg
        JOIN _timescaledb_catalog.hypertable ON hypertable.id = raw_hypertable_id
        WHERE schema_name = current_schema() AND table_name = candles_behind.hypertable
    ),
    pending AS (
        SELECT name, lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log
        JOIN aggregate ON materialization_id = mat_hypertable_id
        UNION ALL
        SELECT name, lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log
        JOIN aggregate ON hypertable_id = raw_hypertable_id
    )
    SELECT DISTINCT name, old.begins_at, old.ends_at
    FROM pending
    JOIN ticks_platform.droppable_chunks(candles_behind.hypertable, candles_behind.before) AS old
        ON lowest_modified_value < _timescaledb_functions.to_unix_microseconds(old.ends_at)
        AND greatest_modified_value >= _timescaledb_functions.to_unix_microseconds(old.begins_at)
    ORDER BY old.begins_at, name
$$;
