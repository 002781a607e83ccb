-- Gives events that were rejected again the place that they had in their frame.
UPDATE ticks_platform.rejected_event AS rejected SET place = known.place
FROM unnest(%(positions)s::bigint[], %(places)s::integer[]) AS known (position, place)
WHERE journal_number = %(journal)s AND rejected.position = known.position AND rejected.place IS NOT NULL;
