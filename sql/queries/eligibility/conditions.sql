-- The different conditions of the ticks of these feeds in some time.
SELECT DISTINCT conditions
FROM stocks_real_time
WHERE time >= %(begin)s AND time < %(end)s AND feed = ANY (%(feeds)s) AND conditions IS NOT NULL;
