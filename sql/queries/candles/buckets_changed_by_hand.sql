-- The closed buckets of a candle, older than the given window, that rows by hand have changed since they were refreshed: nobody counts
-- those rows, so the database's own record of changes is asked, within the ranges that the ticks still cover. It also has what loaders
-- changed, with all that lies between two late ticks of one batch: so a bucket counts only if there is a row by hand in it, or the
-- candle has not the number of ticks that were loaded, as after such a row was deleted. While there was never one, nothing is read.
WITH kept AS (
    SELECT begins_at, ends_at FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS given (begins_at, ends_at)
),
aggregate AS (
    SELECT mat_hypertable_id, raw_hypertable_id
    FROM _timescaledb_catalog.continuous_agg
    WHERE user_view_schema = current_schema() AND user_view_name = ANY (%(made)s)
        AND (SELECT is_called FROM ticks_platform.manual_tick)
),
pending AS (
    SELECT lowest_modified_value AS first, greatest_modified_value AS last
    FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log
    JOIN aggregate ON materialization_id = mat_hypertable_id
    UNION
    SELECT lowest_modified_value, greatest_modified_value
    FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log
    JOIN aggregate ON hypertable_id = raw_hypertable_id
),
changed AS MATERIALIZED (
    SELECT DISTINCT bucket
    FROM kept
    JOIN pending ON first < _timescaledb_functions.to_unix_microseconds(ends_at)
        AND last >= _timescaledb_functions.to_unix_microseconds(begins_at)
    CROSS JOIN LATERAL generate_series(
        time_bucket(
            %(width)s,
            _timescaledb_functions.to_timestamp(greatest(first, _timescaledb_functions.to_unix_microseconds(begins_at)))
        ),
        _timescaledb_functions.to_timestamp(least(last, _timescaledb_functions.to_unix_microseconds(least(ends_at, now())) - 1)),
        %(width)s
    ) AS bucket
)
SELECT bucket
FROM changed
WHERE bucket + %(width)s <= now()
    AND bucket + greatest(%(width)s - INTERVAL '1 hour', INTERVAL '0') < now() - %(window)s
    AND (
        EXISTS (
            SELECT FROM stocks_real_time
            WHERE time >= bucket AND time < bucket + %(width)s AND tick_id >= '80000000-0000-0000-0000-000000000000'
        )
        OR coalesce((SELECT sum(tick_count) FROM {candle} AS made WHERE made.bucket = changed.bucket), 0) <> coalesce(
            (
                SELECT sum(loaded)
                FROM ticks_platform.feed_hour
                WHERE destination = 'stocks_real_time' AND hour >= changed.bucket AND hour < changed.bucket + %(width)s
            ),
            0
        )
    )
ORDER BY bucket;
