-- Which of these calendars have no session ahead, though they have some.
SELECT name
FROM unnest(%(names)s::text[]) AS given (name)
WHERE name <> 'always' AND NOT EXISTS (
    SELECT FROM ticks_platform.market_session AS known WHERE known.calendar = name AND known.opens_at > now()
);
