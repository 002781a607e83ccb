-- Why rows of these files were rejected, the newest reasons first.
SELECT reason
FROM ticks_platform.rejected_event
WHERE feed = %(feed)s AND EXISTS (SELECT FROM unnest(%(files)s::text[]) AS file WHERE starts_with(reason, file || ', '))
ORDER BY received_at DESC, position
LIMIT 10;
