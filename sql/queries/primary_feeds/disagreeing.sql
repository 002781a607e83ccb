-- The ticks of some time that are marked as secondary although their feed is primary, or are not although it is secondary.
SELECT feed, symbol, count(*)
FROM stocks_real_time
WHERE time >= %(begin)s AND time < %(end)s
    AND (
        (feed = ANY (%(secondary)s) AND coalesce(updates, 0) & 16 = 0)
        OR (feed = ANY (%(primary)s) AND updates & 16 = 16)
    )
GROUP BY feed, symbol
ORDER BY feed, symbol;
