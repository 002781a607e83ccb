-- The columns of ours that the table does not have, empty as yet.
ALTER TABLE stocks_real_time
    ADD COLUMN IF NOT EXISTS day_volume double precision,
    ADD COLUMN tick_id uuid,
    ADD COLUMN IF NOT EXISTS size double precision,
    ADD COLUMN IF NOT EXISTS bid double precision,
    ADD COLUMN IF NOT EXISTS ask double precision,
    ADD COLUMN IF NOT EXISTS exchange text,
    ADD COLUMN IF NOT EXISTS trade_id text,
    ADD COLUMN feed text,
    ADD COLUMN received_at timestamptz,
    ADD COLUMN updates smallint,
    ADD COLUMN conditions smallint[],
    ADD COLUMN received_at_raw timestamptz;
