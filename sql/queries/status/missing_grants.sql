-- What the current user may not do and the platform needs: in words, and the statement that grants it.
SELECT what, statement
FROM (
    VALUES
        (
            has_database_privilege(current_database(), 'CREATE'),
            'create schemas in this database',
            format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
        ),
        (
            has_schema_privilege('public', 'CREATE'),
            'create tables in the schema public',
            format('GRANT CREATE ON SCHEMA public TO %I', current_user)
        ),
        (
            has_schema_privilege('public', 'USAGE'),
            'use the schema public',
            format('GRANT USAGE ON SCHEMA public TO %I', current_user)
        )
) AS needed (is_granted, what, statement)
WHERE NOT is_granted
