-- Notes that the provider of a feed was asked for symbols, and why it has not answered.
INSERT INTO ticks_platform.corporate_action_check (feed, symbol, checked_at, asked_at, problem)
SELECT %(feed)s, symbol, CASE WHEN %(problem)s::text IS NULL THEN now() END, now(), %(problem)s
FROM unnest(%(symbols)s::text[]) AS symbol
ON CONFLICT (feed, symbol) DO UPDATE SET
    checked_at = coalesce(excluded.checked_at, corporate_action_check.checked_at),
    asked_at = excluded.asked_at,
    problem = excluded.problem;
