-- Ends the connections of this name. PostgreSQL cuts names off at 63 bytes.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE application_name = left(%(application_name)s, 63) AND datname = current_database() AND pid <> pg_backend_pid();
