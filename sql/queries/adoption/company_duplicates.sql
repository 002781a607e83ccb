-- The companies that are in the table more than once: symbol, the names in the order in which the rows lie there, the last one last.
SELECT symbol, array_agg(coalesce(name, 'NULL') ORDER BY ctid)
FROM company
GROUP BY symbol
HAVING count(*) > 1
ORDER BY symbol;
