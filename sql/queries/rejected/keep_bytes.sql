-- Gives events that were rejected again the bytes and the place that they had.
UPDATE ticks_platform.rejected_event AS rejected SET raw = known.raw, place = known.place
FROM unnest(%(positions)s::bigint[], %(raws)s::bytea[], %(places)s::integer[]) AS known (position, raw, place)
WHERE journal_number = %(journal)s AND rejected.position = known.position;
