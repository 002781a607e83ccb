-- Reaches back further than the hourly policy does, so that no hour is built from minutes that were left behind.
SELECT add_continuous_aggregate_policy('one_minute_candle',
    start_offset => INTERVAL '4 hours',
    end_offset => INTERVAL '1 minute',
    schedule_interval => INTERVAL '1 minute',
    if_not_exists => true);
