-- The chunks of the ticks, the newest first, and when each begins.
SELECT format('%I.%I', chunk_schema, chunk_name), range_start
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = 'stocks_real_time'
ORDER BY range_start DESC;
