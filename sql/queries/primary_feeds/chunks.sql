-- The time that the chunks of the ticks cover, in order.
SELECT range_start, range_end
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = 'stocks_real_time'
ORDER BY range_start;
