-- Whether the database runs its jobs: its scheduler is running, or a job began within the last hour. The second half is for servers
-- that hide other users' processes.
SELECT
    EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'TimescaleDB Background Worker Scheduler'
    )
    OR EXISTS (
        SELECT FROM timescaledb_information.job_stats WHERE last_run_started_at > now() - INTERVAL '1 hour'
    );
