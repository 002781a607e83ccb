-- Which of these symbols have ticks in a time, of any feed.
SELECT symbol
FROM unnest(%(symbols)s::text[]) AS asked (symbol)
WHERE EXISTS (
    SELECT FROM stocks_real_time AS stored
    WHERE stored.symbol = asked.symbol AND stored.time >= %(first)s AND stored.time <= %(last)s
);
