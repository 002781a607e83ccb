-- Whether a connection of this name is executing a statement. PostgreSQL cuts names off at 63 bytes.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE application_name = left(%(application_name)s, 63) AND datname = current_database()
        AND state = 'active' AND pid <> pg_backend_pid()
);
