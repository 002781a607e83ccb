-- What a rebuild would not bring over to the new candle in place of %(candle)s, in words.
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
WHERE view_schema = current_schema() AND view_name = %(candle)s AND proc_name <> 'policy_refresh_continuous_aggregate';
