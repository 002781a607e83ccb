-- Gives ticks the first three bits that the rules give their conditions. That they were cancelled, or are of a secondary feed, stays.
-- Symbols are named so that only their part of a compressed chunk is unpacked.
UPDATE stocks_real_time AS tick
SET updates = nullif(coalesce(tick.updates, 7) & ~7 | rule.updates, 7)
FROM unnest(
    %(begins)s::timestamptz[], %(ends)s::timestamptz[], %(conditions)s::text[], %(updates)s::smallint[]
) AS rule (begins_at, ends_at, conditions, updates)
WHERE tick.conditions = rule.conditions::smallint[] AND tick.time >= rule.begins_at AND tick.time < rule.ends_at
    AND tick.time >= %(begin)s AND tick.time < %(end)s AND tick.symbol = ANY (%(symbols)s) AND tick.feed = ANY (%(feeds)s)
    AND coalesce(tick.updates, 7) & 7 <> rule.updates;
