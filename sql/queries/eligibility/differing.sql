-- The ticks of these feeds whose first three bits are not those that the rules give their conditions. A rule here is a list of
-- conditions in a part of the time.
SELECT tick.symbol, tick.conditions, coalesce(tick.updates, 7) & 7 AS before, rule.updates AS after, count(*)
FROM stocks_real_time AS tick
JOIN unnest(
    %(begins)s::timestamptz[], %(ends)s::timestamptz[], %(conditions)s::text[], %(updates)s::smallint[]
) AS rule (begins_at, ends_at, conditions, updates)
    ON tick.conditions = rule.conditions::smallint[] AND tick.time >= rule.begins_at AND tick.time < rule.ends_at
WHERE tick.time >= %(begin)s AND tick.time < %(end)s AND tick.feed = ANY (%(feeds)s)
    AND coalesce(tick.updates, 7) & 7 <> rule.updates
GROUP BY tick.symbol, tick.conditions, before, after
ORDER BY tick.symbol, tick.conditions, before, after;
