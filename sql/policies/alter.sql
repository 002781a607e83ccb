-- Gives a job its declared terms and removes all others from its configuration. What the job works on stays.
SELECT alter_job(
    job_id,
    schedule_interval => %(schedule_interval)s::interval,
    retry_period => %(retry_period)s::interval,
    max_runtime => %(max_runtime)s::interval,
    max_retries => %(max_retries)s,
    scheduled => true,
    config => (
        SELECT jsonb_object_agg(key, value)
        FROM (
            SELECT key, value FROM jsonb_each(config) WHERE key IN ('hypertable_id', 'mat_hypertable_id', 'hypertable')
            UNION ALL
            SELECT key, to_jsonb(value) FROM unnest(%(terms)s::text[], %(offsets)s::interval[]) AS term (key, value)
        ) AS wanted
    )
)
FROM timescaledb_information.jobs
WHERE job_id = %(job_id)s;
