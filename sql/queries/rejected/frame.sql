-- The bytes of a large frame, which its first rejected event has, before the one at `until`.
SELECT raw FROM ticks_platform.rejected_event
WHERE journal_number = %(journal)s AND position BETWEEN %(frame)s AND %(until)s AND position - place = %(frame)s AND raw <> ''
ORDER BY position LIMIT 1;
