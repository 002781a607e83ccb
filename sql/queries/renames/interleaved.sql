-- The first UTC day in which ticks of both names make candles at the same time, for longer than a change of runs takes.
SELECT day
FROM (
    SELECT time_bucket(INTERVAL '1 day', time) AS day, symbol, min(time) AS first, max(time) AS last
    FROM stocks_real_time
    WHERE symbol IN (%(old)s, %(new)s) AND coalesce(updates, 0) & 24 = 0
    GROUP BY time_bucket(INTERVAL '1 day', time), symbol
) AS seen
GROUP BY day
HAVING count(*) = 2 AND min(last) - max(first) > INTERVAL '60 seconds'
ORDER BY day
LIMIT 1;
