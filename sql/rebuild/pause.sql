-- Keeps the refresh policies of %(candles)s from beginning, and says how many are at work just now.
SELECT count(*) FILTER (WHERE job_status = 'Running')
FROM (
    SELECT jobs.job_id, alter_job(jobs.job_id, scheduled => false)
    FROM timescaledb_information.jobs
    JOIN timescaledb_information.continuous_aggregates
        ON hypertable_name IN (view_name, materialization_hypertable_name)
        AND jobs.hypertable_schema IN (view_schema, materialization_hypertable_schema)
    WHERE view_schema = current_schema() AND view_name = ANY (%(candles)s)
) AS paused
LEFT JOIN timescaledb_information.job_stats USING (job_id);
