-- How many trades of a feed in a time are known to be cancelled or corrected, by symbol.
SELECT symbol, count(*)
FROM tick_correction
WHERE feed = %(feed)s AND time >= %(begin)s AND time < %(end)s
GROUP BY symbol;
