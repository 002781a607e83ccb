-- The job that deletes old notes, without its intervals: these are altered.
SELECT add_job(
    'ticks_platform.delete_old_notes',
    %(schedule_interval)s::interval,
    config => jsonb_build_object('hypertable', %(table)s),
    check_config => 'ticks_platform.check_delete_old_notes'::regproc,
    fixed_schedule => false
);
