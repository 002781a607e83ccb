-- The statements that say of a view, and of its columns, what is said of them now.
SELECT CASE
    WHEN objsubid = 0 THEN format('COMMENT ON VIEW %%s IS %%L', objoid::regclass, description)
    ELSE format('COMMENT ON COLUMN %%s.%%I IS %%L', objoid::regclass, attname, description)
END
FROM pg_description
LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
WHERE classoid = 'pg_class'::regclass AND objoid = %(view)s::regclass;
