-- What ticks are ordered by: event time, then arrival. A feed's tick_id says both. A row by hand has an id of its arrival alone, since a
-- DEFAULT cannot see the event time: its place is its time with the rest of its id, in the layout of a feed's.
-- A single comparison of constants tells them apart, which is all that it costs a feed's tick: candles are refreshed 3 to 6 % slower
-- than by tick_id. It is written so that the planner puts its body in its place: one expression, no SET.
CREATE OR REPLACE FUNCTION ticks_platform.tick_order("time" timestamptz, tick_id uuid) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN tick_id < '80000000-0000-0000-0000-000000000000'::uuid THEN tick_id
    -- 48 bits of milliseconds and 12 of their fraction, with the 7 of the version between them.
    ELSE (
        overlay(
            lpad(to_hex((extract(epoch FROM "time" - '1970-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint * 512 / 125), 15, '0')
            PLACING '7' FROM 13 FOR 0
        ) || right(tick_id::text, 17)
    )::uuid
END;

COMMENT ON FUNCTION ticks_platform.tick_order IS 'What ticks are ordered by: event time, then arrival.';
