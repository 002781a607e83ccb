-- How the last run of each of these jobs went; a job that never ran is left out.
SELECT
    job_stats.job_id,
    coalesce(last_run_status = 'Failed', false) AS failed,
    (
        SELECT err_message FROM timescaledb_information.job_errors
        WHERE job_errors.job_id = job_stats.job_id
        ORDER BY start_time DESC
        LIMIT 1
    ) AS error,
    extract(epoch FROM CASE WHEN isfinite(last_successful_finish) THEN now() - last_successful_finish END)::double precision
        AS success_age_seconds
FROM timescaledb_information.job_stats
WHERE job_stats.job_id = ANY (%(jobs)s)
ORDER BY job_stats.job_id;
