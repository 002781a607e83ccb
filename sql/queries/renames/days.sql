-- The UTC days in which a hypertable has rows that a rename changes, and how many.
SELECT time_bucket(INTERVAL '1 day', {time}), count(*)
FROM {table}
WHERE symbol = %(old)s AND {feeds}
GROUP BY 1
ORDER BY 1;
