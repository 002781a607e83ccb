-- The jobs of this database that its own scheduler runs: how often each failed since it last succeeded, and with which error. Jobs name
-- a candle's materialization on older releases and the candle itself on newer ones.
SELECT
    jobs.job_id,
    coalesce(candle.view_name::text, jobs.hypertable_name::text, jobs.config ->> 'hypertable', jobs.proc_name::text) AS relation,
    CASE
        WHEN jobs.proc_name = 'policy_refresh_continuous_aggregate' THEN 'refresh'
        WHEN jobs.proc_name IN ('policy_compression', 'policy_columnstore') THEN 'columnstore'
        WHEN jobs.proc_name IN ('drop_old_chunks', 'policy_retention') THEN 'retention'
        ELSE 'job'
    END AS kind,
    extract(epoch FROM jobs.schedule_interval)::double precision AS interval_seconds,
    errors.failures,
    errors.error,
    extract(epoch FROM CASE WHEN isfinite(stats.last_successful_finish) THEN now() - stats.last_successful_finish END)::double precision
        AS success_age_seconds
FROM timescaledb_information.jobs AS jobs
JOIN timescaledb_information.job_stats AS stats USING (job_id)
LEFT JOIN timescaledb_information.continuous_aggregates AS candle
    ON jobs.hypertable_name IN (candle.view_name, candle.materialization_hypertable_name)
    AND jobs.hypertable_schema IN (candle.view_schema, candle.materialization_hypertable_schema)
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS failures, (array_agg(err_message ORDER BY start_time DESC))[1] AS error
    FROM timescaledb_information.job_errors AS failed
    WHERE failed.job_id = jobs.job_id
        -- Not a run that lasts.
        AND (failed.finish_time IS NOT NULL OR failed.pid IS NULL)
        AND (NOT isfinite(stats.last_successful_finish) OR failed.start_time > stats.last_successful_finish)
) AS errors
WHERE jobs.scheduled AND jobs.job_id >= 1000
ORDER BY jobs.job_id;
