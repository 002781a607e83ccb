-- The type of a column cannot be changed while the columnstore is enabled. Its policy stays.
ALTER TABLE stocks_real_time SET (timescaledb.compress = false);
