-- Stores sessions; returns a row for each that was new or different.
INSERT INTO ticks_platform.market_session AS kept (calendar, opens_at, closes_at, session) VALUES %s
ON CONFLICT (calendar, opens_at) DO UPDATE SET closes_at = excluded.closes_at, session = excluded.session
WHERE (kept.closes_at, kept.session) <> (excluded.closes_at, excluded.session)
RETURNING 1;
