-- What is in the table of ticks: rows, first and last time, rows that are later than now or older than 1990, rows without a price, with
-- one that is none, and the symbols.
SELECT
    count(*),
    min(time),
    max(time),
    count(*) FILTER (WHERE time > now() + INTERVAL '5 minutes'),
    count(*) FILTER (WHERE time < '1990-01-01 00:00:00+00'),
    count(*) FILTER (WHERE price IS NULL),
    count(*) FILTER (WHERE price IN ('NaN', 'Infinity', '-Infinity')),
    coalesce(array_agg(DISTINCT symbol), '{}')
FROM stocks_real_time;
