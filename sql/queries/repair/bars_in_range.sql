-- How many bars of one minute a symbol has in a time.
SELECT count(*)
FROM stock_aggregates
WHERE feed = %(feed)s AND symbol = %(symbol)s AND start_time >= %(begin)s AND start_time < %(end)s
    AND end_time = start_time + INTERVAL '1 minute';
