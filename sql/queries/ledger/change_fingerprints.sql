-- The fingerprints of a feed's hours after ticks of theirs were changed, in the transaction that changed them. What is not known stays so.
UPDATE ticks_platform.feed_hour AS counted
SET fingerprint = fingerprint + change
FROM (
    SELECT hour, sum(change) AS change
    FROM unnest(%(hours)s::timestamptz[], %(changes)s::numeric[]) AS given (hour, change)
    GROUP BY hour
) AS given
WHERE destination = 'stocks_real_time' AND feed = %(feed)s AND counted.hour = given.hour;
