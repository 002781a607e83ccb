-- What a rebuild of candles would not carry over to one of them, as messages.
SELECT format('it belongs to %%s: run this as that user', pg_get_userbyid(relowner))
FROM pg_class
WHERE oid = %(candle)s::regclass AND relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
UNION ALL
SELECT format('column %%s has privileges of its own: revoke them, and grant them again afterwards', attname)
FROM pg_attribute
WHERE attrelid = %(candle)s::regclass AND attacl IS NOT NULL
UNION ALL
SELECT format('job %%s (%%s) is at work on it: remove it, and make it again afterwards', job_id, proc_name)
FROM timescaledb_information.jobs
JOIN timescaledb_information.continuous_aggregates
    ON jobs.hypertable_name IN (view_name, materialization_hypertable_name)
    AND jobs.hypertable_schema IN (view_schema, materialization_hypertable_schema)
WHERE view_schema = current_schema() AND view_name = %(candle)s AND proc_name <> 'policy_refresh_continuous_aggregate'
UNION ALL
SELECT format('%%I is made from it: drop it, and make it again afterwards', child.view_name)
FROM timescaledb_information.continuous_aggregates AS child
JOIN timescaledb_information.continuous_aggregates AS parent
    ON child.hypertable_schema = parent.materialization_hypertable_schema
    AND child.hypertable_name = parent.materialization_hypertable_name
WHERE parent.view_schema = current_schema() AND parent.view_name = %(candle)s
    AND (child.view_schema, child.view_name) NOT IN (
        SELECT current_schema(), name FROM unnest(%(rebuilt)s) AS name
    );
