-- Gives the bytes of a large frame to the first of its events that are left, if none of them has them.
UPDATE ticks_platform.rejected_event SET raw = %(raw)s
WHERE journal_number = %(journal)s AND raw = '' AND position = (
    SELECT position FROM ticks_platform.rejected_event
    WHERE journal_number = %(journal)s AND position BETWEEN %(frame)s AND %(frame)s + %(size)s AND position - place = %(frame)s
    ORDER BY raw = '', position LIMIT 1
);
