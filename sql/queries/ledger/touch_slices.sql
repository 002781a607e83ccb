-- Notes that ticks of these times came late or were changed. What was more than half a day ago is read as whole hours.
INSERT INTO ticks_platform.touched_slice (begins_at)
SELECT DISTINCT time_bucket(INTERVAL '10 minutes', time)
FROM unnest(%(times)s::timestamptz[]) AS time
WHERE time > now() - INTERVAL '13 hours';
