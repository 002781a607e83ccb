-- From some time before the oldest chunk of ticks, or before now, to some time ahead.
SELECT least(min(range_start), now()) - %(margin)s, now() + %(ahead)s
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = 'stocks_real_time';
