-- Pauses a job, or schedules it again.
SELECT alter_job(%(job)s, scheduled => %(scheduled)s);
