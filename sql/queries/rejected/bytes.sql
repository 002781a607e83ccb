-- The bytes of a rejected event.
SELECT raw FROM ticks_platform.rejected_event WHERE journal_number = %(journal)s AND position = %(position)s;
