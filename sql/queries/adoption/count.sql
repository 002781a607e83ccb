-- Rows of the ticks, and a number that depends on the values of the tutorial's columns.
SELECT count(*), sum(hashtextextended(concat_ws('|', time, symbol, price, day_volume::double precision), 0)::numeric)
FROM stocks_real_time;
