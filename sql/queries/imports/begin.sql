-- Notes that a file is imported, or goes on with it. One whose journal's number was given to another begins again.
INSERT INTO ticks_platform.feed_import AS known (journal_id, journal_number, feed, file, format, first_position, epoch, symbols)
VALUES (%(journal_id)s, %(number)s, %(feed)s, %(file)s, %(format)s, %(position)s, %(epoch)s, %(symbols)s)
ON CONFLICT (journal_id) DO UPDATE SET
    file = excluded.file,
    first_position = CASE WHEN known.journal_number = excluded.journal_number THEN known.first_position ELSE excluded.first_position END,
    symbols = CASE WHEN known.journal_number = excluded.journal_number THEN known.symbols ELSE excluded.symbols END,
    journal_number = excluded.journal_number
RETURNING first_position, epoch;
