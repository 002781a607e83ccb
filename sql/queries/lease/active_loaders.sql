-- Those of these names of connections, cut off at 63 bytes, of which one is executing a statement.
SELECT DISTINCT application_name
FROM pg_stat_activity
WHERE application_name = ANY (%(application_names)s) AND datname = current_database()
    AND state = 'active' AND pid <> pg_backend_pid();
