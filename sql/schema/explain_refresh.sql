-- How far a candle is with a bucket: whether it is materialized, whether something of it has changed since, and when it was
-- refreshed. `late_from` is when its policy may have refreshed it first. The database does not record when it refreshed a bucket: what
-- is known is the last run of the policy, if the bucket was in its window, and the last refresh for late ticks. explain_candle calls it.
CREATE OR REPLACE FUNCTION ticks_platform.explain_refresh(
    of_candle text, begins timestamptz, ends timestamptz
) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    WITH candle AS (
        SELECT
            mat_hypertable_id,
            raw_hypertable_id,
            materialization_hypertable_name AS materialization,
            continuous_aggregates.materialized_only,
            CASE WHEN watermark > -210866803200000000 AND watermark < 9223371331200000000
                THEN _timescaledb_functions.to_timestamp(watermark) END AS watermark
        FROM _timescaledb_catalog.continuous_agg
        JOIN timescaledb_information.continuous_aggregates
            ON view_schema = user_view_schema AND view_name = user_view_name
        LEFT JOIN _timescaledb_catalog.continuous_aggs_watermark USING (mat_hypertable_id)
        WHERE user_view_schema = (
            SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE pg_class.oid = to_regclass(of_candle)
        ) AND user_view_name = of_candle
    ),
    policy AS (
        SELECT
            (config ->> 'start_offset')::interval AS start_offset,
            coalesce((config ->> 'end_offset')::interval, INTERVAL '0') AS end_offset,
            CASE WHEN isfinite(last_successful_finish) THEN last_successful_finish END AS last_run_at
        FROM timescaledb_information.jobs
        -- Jobs name the materialization on older releases and the candle itself on newer ones.
        JOIN candle ON hypertable_name::text IN (of_candle, materialization)
        LEFT JOIN timescaledb_information.job_stats USING (job_id)
        WHERE proc_name = 'policy_refresh_continuous_aggregate'
        ORDER BY job_id
        LIMIT 1
    ),
    late AS (
        -- The refresh for late ticks counts minutes by their hours.
        SELECT max(refreshed_at) AS refreshed_at
        FROM ticks_platform.candle_refresh
        WHERE candle = CASE of_candle WHEN 'one_minute_candle' THEN 'one_hour_candle' ELSE of_candle END
            AND bucket = CASE of_candle WHEN 'one_day_candle' THEN begins ELSE time_bucket(INTERVAL '1 hour', begins) END
    ),
    changed AS (
        SELECT EXISTS (
            SELECT FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log AS log
            WHERE log.hypertable_id = raw_hypertable_id
                AND lowest_modified_value < _timescaledb_functions.to_unix_microseconds(ends)
                AND greatest_modified_value >= _timescaledb_functions.to_unix_microseconds(begins)
        ) OR EXISTS (
            SELECT FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log AS log
            WHERE log.materialization_id = mat_hypertable_id
                AND lowest_modified_value < _timescaledb_functions.to_unix_microseconds(ends)
                AND greatest_modified_value >= _timescaledb_functions.to_unix_microseconds(begins)
        ) AS since
        FROM candle
    )
    SELECT jsonb_build_object(
        'candle', of_candle,
        'materialized', coalesce(ends <= watermark, false),
        'materialized_up_to', watermark,
        'shows_only_what_is_materialized', materialized_only,
        'changed_since', ends <= watermark AND changed.since,
        'policy_last_ran_at', last_run_at,
        'refreshed_at', greatest(
            CASE WHEN ends <= last_run_at - end_offset AND (start_offset IS NULL OR begins >= last_run_at - start_offset) THEN last_run_at END,
            late.refreshed_at
        ),
        'late_from', ends + coalesce(end_offset, INTERVAL '1 minute')
    )
    FROM candle
    CROSS JOIN late
    CROSS JOIN changed
    LEFT JOIN policy ON true
$$;

COMMENT ON FUNCTION ticks_platform.explain_refresh IS 'How far a candle is with a bucket. explain_candle has the rest.';
