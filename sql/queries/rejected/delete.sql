-- Takes rejected events away, which are loaded again in this transaction.
DELETE FROM ticks_platform.rejected_event WHERE journal_number = %(journal)s AND position = ANY (%(positions)s);
