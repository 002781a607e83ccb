-- That of new chunks; old ones stay as they are.
SELECT set_chunk_time_interval('stocks_real_time', INTERVAL '1 day');
