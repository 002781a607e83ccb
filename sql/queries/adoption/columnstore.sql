-- By what the ticks are compressed: the columns of segmentby, and of orderby as they are written.
SELECT
    coalesce(
        string_agg(quote_ident(attname), ', ' ORDER BY segmentby_column_index) FILTER (WHERE segmentby_column_index IS NOT NULL),
        ''
    ),
    coalesce(
        string_agg(
            format(
                '%I %s NULLS %s', attname, CASE WHEN orderby_asc THEN 'ASC' ELSE 'DESC' END,
                CASE WHEN orderby_nullsfirst THEN 'FIRST' ELSE 'LAST' END
            ),
            ', ' ORDER BY orderby_column_index
        ) FILTER (WHERE orderby_column_index IS NOT NULL),
        ''
    )
FROM timescaledb_information.compression_settings
JOIN pg_namespace ON nspname = hypertable_schema
JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = hypertable_name
WHERE pg_class.oid = to_regclass('stocks_real_time');
