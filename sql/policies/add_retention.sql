-- A job of our own: add_retention_policy drops ticks even when their candles are behind.
SELECT add_job(
    'ticks_platform.drop_old_chunks',
    %(schedule_interval)s::interval,
    config => jsonb_build_object('hypertable', %(table)s, 'drop_after', %(drop_after)s::interval),
    check_config => 'ticks_platform.check_drop_old_chunks'::regproc,
    fixed_schedule => false
);
