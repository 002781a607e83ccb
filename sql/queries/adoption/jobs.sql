-- The jobs that work on the ticks and on candles with names of ours: number, table, procedure and configuration.
SELECT job_id, coalesce(view_name, jobs.hypertable_name)::text, proc_name::text, config::text
FROM timescaledb_information.jobs
LEFT JOIN timescaledb_information.continuous_aggregates
    ON materialization_hypertable_schema = jobs.hypertable_schema
    AND (materialization_hypertable_name = jobs.hypertable_name OR view_name = jobs.hypertable_name)
WHERE coalesce(view_name, jobs.hypertable_name) = ANY (%(names)s)
ORDER BY 1;
