-- Tables, candles and views of the platform's owner, in the users' schema and in that of the machinery.
SELECT nspname::text, relname::text
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname IN (current_schema(), 'ticks_platform') AND relkind IN ('r', 'p', 'v', 'm')
    AND relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
ORDER BY 1, 2;
