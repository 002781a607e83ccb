-- What refreshes a candle: one row for each of its refresh policies, or one without a policy. A candle is behind when it lacks
-- a tick that is older than all its policy allows for: its end offset, a bucket, two intervals, and the slack. Only ticks that are
-- not materialized are looked for, so that no old chunk is decompressed.
WITH candle AS (
    SELECT
        materialization_hypertable_name AS materialization,
        CASE WHEN watermark > -210866803200000000 AND watermark < 9223371331200000000
            THEN _timescaledb_functions.to_timestamp(watermark) END AS watermark
    FROM _timescaledb_catalog.continuous_agg
    JOIN timescaledb_information.continuous_aggregates
        ON view_schema = user_view_schema AND view_name = user_view_name
    LEFT JOIN _timescaledb_catalog.continuous_aggs_watermark USING (mat_hypertable_id)
    WHERE user_view_schema = current_schema() AND user_view_name = %(candle)s
),
policy AS (
    SELECT
        job_id,
        scheduled,
        schedule_interval,
        coalesce((config ->> 'end_offset')::interval, INTERVAL '0') AS end_offset
    FROM timescaledb_information.jobs
    -- Jobs name the materialization on older releases and the candle itself on newer ones.
    JOIN candle ON hypertable_name::text IN (%(candle)s, materialization)
    WHERE proc_name = 'policy_refresh_continuous_aggregate'
),
allowed AS (
    SELECT
        candle.watermark,
        policy.*,
        %(width)s + %(slack)s + coalesce(end_offset + 2 * schedule_interval, INTERVAL '0') AS delay
    FROM candle
    LEFT JOIN policy ON true
)
SELECT
    allowed.job_id,
    scheduled,
    extract(epoch FROM schedule_interval)::double precision AS interval_seconds,
    coalesce(last_run_status = 'Failed', false) AS failed,
    (
        SELECT err_message FROM timescaledb_information.job_errors
        WHERE job_errors.job_id = allowed.job_id
        ORDER BY start_time DESC
        LIMIT 1
    ) AS error,
    extract(epoch FROM CASE WHEN isfinite(last_successful_finish) THEN now() - last_successful_finish END)::double precision
        AS success_age_seconds,
    extract(epoch FROM now() - watermark)::double precision AS lag_seconds,
    EXISTS (
        SELECT FROM stocks_real_time
        WHERE time >= coalesce(watermark, '-infinity') AND time < now() - delay
    ) AS behind
FROM allowed
LEFT JOIN timescaledb_information.job_stats ON job_stats.job_id = allowed.job_id
ORDER BY allowed.job_id;
