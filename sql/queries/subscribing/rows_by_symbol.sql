-- The next page of the rows of a table since a time, where only symbols are indexed: from symbol to symbol through the index, and to
-- the latest rows of each. The rest of a day's chunk is not read.
WITH RECURSIVE symbols AS (
    (SELECT symbol FROM {table} WHERE {time} >= %(since)s ORDER BY symbol LIMIT 1)
    UNION ALL
    SELECT (SELECT symbol FROM {table} WHERE symbol > symbols.symbol AND {time} >= %(since)s ORDER BY symbol LIMIT 1)
    FROM symbols WHERE symbols.symbol IS NOT NULL
)
SELECT latest.*
FROM
    symbols,
    LATERAL (
        SELECT {columns}
        FROM {table} AS stored
        WHERE stored.symbol = symbols.symbol AND {time} >= %(since)s AND {after}
        ORDER BY {order}
        LIMIT %(page)s
    ) AS latest
ORDER BY {order}
LIMIT %(page)s;
