-- Inserts the ticks of this session's table.
INSERT INTO stocks_real_time ({columns}) SELECT {columns} FROM arriving_ticks;
