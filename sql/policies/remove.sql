-- Removes one job; remove_continuous_aggregate_policy would remove all of a candle's.
SELECT delete_job(%(job_id)s);
