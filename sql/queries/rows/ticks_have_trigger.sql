-- Whether a trigger may change ticks before they are inserted. True also while the table is that of an older release, which bring_up
-- alters.
SELECT EXISTS (
    SELECT FROM pg_trigger
    JOIN pg_proc ON pg_proc.oid = tgfoid
    WHERE tgrelid = 'stocks_real_time'::regclass AND tgenabled <> 'D'
        -- Bits: for each row, before, on insert.
        AND tgtype & 7 = 7
        AND pronamespace <> '_timescaledb_functions'::regnamespace
) OR NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = 'stocks_real_time'::regclass AND attname = 'updates'
);
