-- Announces that a journal is compared with what others have stored since, before it is loaded: it was not the last to receive.
-- That is recorded like a hand-over, under a number below zero, so that it is decided once.
INSERT INTO ticks_platform.feed_handover
    (feed, epoch, successor, journal_id, predecessor, predecessor_epoch, begun_at, taken_at)
VALUES (%(feed)s, %(epoch)s, %(owner)s, %(journal)s, 'returned', %(lease)s, clock_timestamp(), clock_timestamp());
