-- How many of the jobs %(jobs)s are at work just now.
SELECT count(*) FROM timescaledb_information.job_stats WHERE job_id = ANY (%(jobs)s) AND job_status = 'Running';
