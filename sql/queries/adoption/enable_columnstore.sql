-- By what the ticks were compressed before.
ALTER TABLE stocks_real_time SET (timescaledb.compress {options});
