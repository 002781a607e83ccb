-- The columns of a table: name, type, whether each row needs a value that has to be given, whether it is generated.
SELECT
    attname::text,
    format_type(atttypid, NULL),
    attnotnull AND NOT atthasdef AND attidentity = '',
    attgenerated <> ''
FROM pg_attribute
WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum;
