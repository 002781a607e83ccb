-- Keeps events that cannot become rows, with the reason.
INSERT INTO ticks_platform.rejected_event
    (feed, journal_number, position, received_at, reason, raw, place, epoch, connection)
VALUES %s;
