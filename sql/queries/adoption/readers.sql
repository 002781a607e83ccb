-- What reads the column day_volume of the ticks, directly or through a view, those last that read others: name, kind, definition, and
-- whether the view has options. Views of TimescaleDB's own stand for continuous aggregates.
WITH RECURSIVE reader (oid, depth) AS (
    SELECT ev_class, 1
    FROM pg_depend
    JOIN pg_rewrite ON pg_rewrite.oid = objid
    WHERE pg_depend.classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass
        AND refobjid = to_regclass('stocks_real_time')
        AND refobjsubid = (
            SELECT attnum FROM pg_attribute
            WHERE attrelid = to_regclass('stocks_real_time') AND attname = 'day_volume' AND NOT attisdropped
        )
    UNION
    SELECT ev_class, depth + 1
    FROM reader
    JOIN pg_depend ON refobjid = reader.oid AND pg_depend.classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass
    JOIN pg_rewrite ON pg_rewrite.oid = objid AND ev_class <> reader.oid
    WHERE depth < 50
)
SELECT
    pg_class.oid::regclass::text,
    CASE
        WHEN nspname = '_timescaledb_internal' OR EXISTS (
            SELECT FROM timescaledb_information.continuous_aggregates WHERE view_schema = nspname AND view_name = relname
        ) THEN 'continuous aggregate'
        ELSE CASE relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END
    END,
    pg_get_viewdef(pg_class.oid),
    array_to_string(reloptions, ', ')
FROM (SELECT oid, max(depth) AS depth FROM reader GROUP BY oid) AS readers
JOIN pg_class ON pg_class.oid = readers.oid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
ORDER BY depth, 1;
