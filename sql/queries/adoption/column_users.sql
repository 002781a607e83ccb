-- What else needs the type of the column day_volume as it is: triggers, generated columns, rules and constraints of the table.
SELECT pg_describe_object(classid, objid, objsubid)
FROM pg_depend
WHERE refclassid = 'pg_class'::regclass AND refobjid = to_regclass('stocks_real_time')
    AND refobjsubid = (
        SELECT attnum FROM pg_attribute
        WHERE attrelid = to_regclass('stocks_real_time') AND attname = 'day_volume' AND NOT attisdropped
    )
    AND (
        classid IN ('pg_trigger'::regclass, 'pg_policy'::regclass)
        OR (classid = 'pg_attrdef'::regclass AND EXISTS (
            SELECT FROM pg_attrdef
            JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
            WHERE pg_attrdef.oid = objid AND attgenerated <> ''
        ))
    );
