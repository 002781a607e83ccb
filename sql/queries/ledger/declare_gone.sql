-- Adds rows that are gone to the account, by hour, and says who declared it and why. One row: their number.
WITH declared AS (
    SELECT * FROM unnest(%(feeds)s::text[], %(hours)s::timestamptz[], %(numbers)s::bigint[], %(fingerprints)s::numeric[])
        AS given (feed, hour, number, fingerprint)
),
-- Wrong as they were.
righted AS (
    DELETE FROM ticks_platform.wrong_hour AS known USING declared
    WHERE %(destination)s = 'stocks_real_time' AND known.feed = declared.feed AND known.hour = declared.hour
),
noted AS (
    UPDATE ticks_platform.feed_hour AS counted
    SET gone = gone + declared.number,
        -- What is left is what counts from now on.
        fingerprint = CASE WHEN ticks_platform.fingerprint_version() IS NOT NULL THEN declared.fingerprint END,
        fingerprint_version = CASE WHEN declared.fingerprint IS NOT NULL THEN ticks_platform.fingerprint_version() END
    FROM declared
    WHERE counted.destination = %(destination)s AND counted.feed = declared.feed AND counted.hour = declared.hour
    RETURNING declared.number
)
INSERT INTO ticks_platform.feed_gone (table_name, begins_at, ends_at, rows, declared_by, reason)
SELECT
    %(destination)s,
    (SELECT min(hour) FROM declared),
    (SELECT max(hour) + INTERVAL '1 hour' FROM declared),
    (SELECT sum(number) FROM noted),
    %(declared_by)s,
    %(reason)s
RETURNING rows;
