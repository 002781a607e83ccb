-- By the name that every release has; newer ones also call it add_columnstore_policy.
SELECT add_compression_policy(
    %(table)s::regclass,
    compress_after => %(compress_after)s::interval,
    schedule_interval => %(schedule_interval)s::interval
);
