-- The tick_id of a row that is inserted by hand, which is the default of stocks_real_time: a UUIDv8 (RFC 9562) of the clock and of a
-- counter, which is the order of arrival. Its first bit is set, which no feed's tick_id has: so one comparison finds it, and tick_order
-- puts it where its time belongs. The last 16 bits are the number of the journal, 0, which no journal has.
DO $$
BEGIN
    IF to_regclass('ticks_platform.manual_tick') IS NULL THEN
        CREATE SEQUENCE ticks_platform.manual_tick MAXVALUE 70368744177663;
        -- Whoever may insert into the table may number rows.
        GRANT USAGE ON SEQUENCE ticks_platform.manual_tick TO PUBLIC;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ticks_platform.manual_tick_id() RETURNS uuid
LANGUAGE sql VOLATILE
RETURN (
    -- 60 bits of microseconds, of which the first is set, with the 8 of the version in them.
    overlay(
        to_hex((extract(epoch FROM clock_timestamp()) * 1000000)::bigint | 576460752303423488) PLACING '8' FROM 13 FOR 0
    )
    -- The variant, 46 bits of the counter, and 16 of the journal.
    || to_hex(nextval('ticks_platform.manual_tick'::regclass) << 16 | (-9223372036854775808))
)::uuid;

COMMENT ON FUNCTION ticks_platform.manual_tick_id IS 'The tick_id of a row that is inserted by hand.';
