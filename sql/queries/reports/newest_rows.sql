-- The newest row of a table of the last day, and how many rows the five minutes before it have, of how many symbols.
SELECT newest.at, count(*), count(DISTINCT symbol)
FROM {table} AS stored
JOIN (SELECT max({time}) AS at FROM {table} WHERE {time} > now() - INTERVAL '1 day') AS newest
    ON stored.{time} > newest.at - INTERVAL '5 minutes' AND stored.{time} <= newest.at
WHERE stored.{time} > now() - INTERVAL '1 day'
GROUP BY newest.at
