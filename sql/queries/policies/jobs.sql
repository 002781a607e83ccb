-- The jobs that work as policies of one kind on a table or candle, whoever created them. The first of the given procedures is the
-- platform's own; its jobs name their table themselves. The given terms are the keys of a job's configuration that hold an interval.
-- Jobs name the candle's materialization on older releases and the candle itself on newer ones.
SELECT
    job_id,
    array_position(%(procedures)s, format('%%s.%%s', proc_schema, proc_name)) = 1 AS own,
    scheduled,
    schedule_interval,
    retry_period,
    max_runtime,
    max_retries,
    coalesce(
        (SELECT json_object_agg(key, extract(epoch FROM value::interval)) FROM jsonb_each_text(config) WHERE key = ANY (%(terms)s)),
        '{}'
    ) AS terms,
    coalesce(
        (
            SELECT json_object_agg(key, value) FROM jsonb_each(config)
            WHERE key <> ALL (%(terms)s || ARRAY['hypertable_id', 'mat_hypertable_id', 'hypertable'])
        ),
        '{}'
    ) AS surplus
FROM timescaledb_information.jobs
WHERE format('%%s.%%s', proc_schema, proc_name) = ANY (%(procedures)s)
    AND coalesce(hypertable_name::text, config ->> 'hypertable') IN (
        %(table)s,
        (
            SELECT materialization_hypertable_name::text FROM timescaledb_information.continuous_aggregates
            WHERE view_schema = current_schema() AND view_name = %(table)s
        )
    )
    AND coalesce(hypertable_schema, current_schema()) IN (current_schema(), '_timescaledb_internal')
ORDER BY job_id;
