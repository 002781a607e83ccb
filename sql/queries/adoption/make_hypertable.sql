-- Moves the rows of a plain table to chunks, in the order in which they lie there.
SELECT create_hypertable('stocks_real_time', by_range('time', INTERVAL '1 day'), migrate_data => true);
