-- Where both names have a true-up of the same day, that of the new name becomes what is true of both: the day is done when both are, and what
-- still differs under either name differs.
UPDATE ticks_platform.feed_true_up AS new
SET
    begins_at = greatest(old.begins_at, new.begins_at),
    ends_at = CASE WHEN greatest(old.begins_at, new.begins_at) < least(old.ends_at, new.ends_at) THEN least(old.ends_at, new.ends_at) ELSE new.ends_at END,
    state = CASE WHEN new.state = 'done' THEN old.state ELSE new.state END,
    detail = concat_ws('; ', nullif(new.detail, ''), nullif(old.detail, '')),
    compared = coalesce(new.compared + old.compared, new.compared, old.compared),
    differed = coalesce(new.differed || old.differed, new.differed, old.differed),
    still_differing = coalesce(new.still_differing + old.still_differing, new.still_differing, old.still_differing),
    corrections = coalesce(new.corrections + old.corrections, new.corrections, old.corrections)
FROM ticks_platform.feed_true_up AS old
WHERE old.feed = new.feed AND old.day = new.day AND old.symbol = %(old)s AND new.symbol = %(new)s AND new.feed = ANY (%(feeds)s);
