-- Which of these windows already have a bar of the feed. The bounds of start_time let the planner leave out other chunks.
SELECT symbol, start_time, end_time
FROM stock_aggregates
WHERE feed = %(feed)s AND start_time >= %(first)s AND start_time <= %(last)s
    AND (symbol, start_time, end_time) IN (
        SELECT * FROM unnest(%(symbols)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
    );
