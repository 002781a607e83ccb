-- The search_path of this session with every schema by its name, and that of TimescaleDB's functions. PostgreSQL's own functions come
-- first where pg_catalog is not listed, and temporary tables last where pg_temp is.
SELECT concat_ws(', ', string_agg(quote_ident(name), ', ' ORDER BY place), 'pg_temp')
FROM (
    SELECT name, min(place) AS place
    FROM (
        SELECT name, place FROM unnest(current_schemas(false)) WITH ORDINALITY AS listed (name, place)
        UNION ALL
        SELECT nspname, 10000
        FROM pg_extension
        JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'timescaledb'
    ) AS known
    WHERE name NOT IN ('pg_catalog', 'pg_temp')
    GROUP BY name
) AS schemas;
