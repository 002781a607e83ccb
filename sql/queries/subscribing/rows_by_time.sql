-- The next page of the rows of a table since a time, through the index on time.
SELECT {columns}
FROM {table}
WHERE {time} >= %(since)s AND {after}
ORDER BY {order}
LIMIT %(page)s;
