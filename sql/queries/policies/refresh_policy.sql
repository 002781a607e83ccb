-- The refresh policy of a candle. Jobs name the candle's materialization on older releases and the candle itself on newer ones.
SELECT
    jobs.job_id,
    candles.view_name,
    jobs.config ->> 'start_offset',
    jobs.config ->> 'end_offset',
    jobs.schedule_interval
FROM timescaledb_information.jobs AS jobs
JOIN timescaledb_information.continuous_aggregates AS candles
    ON jobs.hypertable_name IN (candles.view_name, candles.materialization_hypertable_name)
    AND jobs.hypertable_schema IN (candles.view_schema, candles.materialization_hypertable_schema)
WHERE jobs.proc_name = 'policy_refresh_continuous_aggregate'
    AND candles.view_schema = current_schema() AND candles.view_name = %(candle)s
ORDER BY jobs.job_id;
