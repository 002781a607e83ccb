-- Stores sessions; returns a row for each that was new or different.
INSERT INTO ticks_platform.market_session AS kept (calendar, opens_at, closes_at, session, day_begins_at, day_ends_at) VALUES %s
ON CONFLICT (calendar, opens_at) DO UPDATE SET
    closes_at = excluded.closes_at, session = excluded.session, day_begins_at = excluded.day_begins_at, day_ends_at = excluded.day_ends_at
WHERE (kept.closes_at, kept.session, kept.day_begins_at, kept.day_ends_at)
    IS DISTINCT FROM (excluded.closes_at, excluded.session, excluded.day_begins_at, excluded.day_ends_at)
RETURNING 1;
