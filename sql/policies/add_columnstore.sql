-- By the name that every release knows; newer ones call it add_columnstore_policy as well.
SELECT add_compression_policy(
    %(table)s::regclass,
    compress_after => %(compress_after)s::interval,
    schedule_interval => %(schedule_interval)s::interval
);
