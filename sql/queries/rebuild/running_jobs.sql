-- How many of these jobs are running.
SELECT count(*) FROM timescaledb_information.job_stats WHERE job_id = ANY (%(jobs)s) AND job_status = 'Running';
