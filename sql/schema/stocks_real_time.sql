-- The ticks. The first four columns are those of Timescale's financial-ticks tutorial, and rows of these four alone may be inserted by
-- hand: they are of the feed `manual`.
CREATE TABLE IF NOT EXISTS stocks_real_time (
    time         timestamptz      NOT NULL,
    symbol       text             NOT NULL,
    price        double precision,
    day_volume   double precision,
    -- Identifies the tick permanently. A feed's is a UUIDv7 (RFC 9562) of event time and arrival. tick_order sorts ticks by it.
    tick_id      uuid             NOT NULL DEFAULT ticks_platform.manual_tick_id(),
    size         double precision,
    bid          double precision,
    ask          double precision,
    exchange     text,
    trade_id     text,
    feed         text             NOT NULL DEFAULT 'manual',
    received_at  timestamptz      NOT NULL DEFAULT clock_timestamp(),
    -- Bits: 1 may set open and close, 2 high and low, 4 counts in the volume; 8 cancelled, 16 of a secondary feed. NULL stands for 7.
    updates      smallint,
    conditions   smallint[],
    -- Only where received_at was corrected.
    received_at_raw  timestamptz,
    -- A tick from the future would move a candle's watermark permanently. The loader rejects it with a reason; this constraint
    -- is for other writers. Providers have been seen 16 s ahead; five minutes are too many.
    CONSTRAINT not_from_the_future CHECK (time <= received_at + INTERVAL '5 minutes'),
    CONSTRAINT not_before_1990 CHECK (time >= '1990-01-01 00:00:00+00')
);

-- For tables of older releases.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF (
        SELECT count(*) = 5 FROM pg_attribute
        WHERE attrelid = 'stocks_real_time'::regclass
            AND attname IN ('exchange', 'trade_id', 'updates', 'conditions', 'received_at_raw')
    ) THEN
        RETURN;
    END IF;
    -- A loader of an older release would write whole numbers where fractions are expected now. Its lease ends here, and a run of this
    -- release follows. This waits for a batch that is being loaded. The epoch stays: a planned successor has received frames under
    -- the next one.
    IF to_regclass('ticks_platform.feed_lease') IS NOT NULL THEN
        UPDATE ticks_platform.feed_lease SET owner = owner || ' (ended by an upgrade)' WHERE released_at IS NULL;
    END IF;
    IF to_regclass('ticks_platform.feed_repair_lease') IS NOT NULL THEN
        UPDATE ticks_platform.feed_repair_lease SET owner = owner || ' (ended by an upgrade)' WHERE released_at IS NULL;
    END IF;
    ALTER TABLE stocks_real_time
        ADD COLUMN IF NOT EXISTS exchange text,
        ADD COLUMN IF NOT EXISTS trade_id text,
        ADD COLUMN IF NOT EXISTS updates smallint,
        ADD COLUMN IF NOT EXISTS conditions smallint[],
        ADD COLUMN IF NOT EXISTS received_at_raw timestamptz;
    IF (SELECT atttypid FROM pg_attribute WHERE attrelid = 'stocks_real_time'::regclass AND attname = 'day_volume') = 'float8'::regtype THEN
        RETURN;
    END IF;

    -- The type of a column cannot be changed where chunks are compressed or a candle reads it. So the old column gets another name,
    -- which the old candles follow, and the new one takes its place. Both are written until the candles are rebuilt: the job
    -- rebuild_candle converts the old rows chunk by chunk and drops the old column.
    ALTER TABLE stocks_real_time RENAME COLUMN day_volume TO day_volume_whole;
    ALTER TABLE stocks_real_time ADD COLUMN day_volume double precision;
    COMMENT ON COLUMN stocks_real_time.day_volume_whole IS 'day_volume without its fractions, until the job rebuild_candle has run.';
    -- A row trigger makes loading slower, which is why there is none where nothing has to be converted.
    CREATE TRIGGER keep_day_volume_whole BEFORE INSERT ON stocks_real_time FOR EACH ROW
        WHEN (NEW.day_volume IS NOT NULL)
        EXECUTE FUNCTION ticks_platform.keep_day_volume_whole();
END
$$;

-- For tables of releases without rows by hand.
DO $$
BEGIN
    IF (SELECT count(*) = 3 FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
        WHERE adrelid = 'stocks_real_time'::regclass AND attname IN ('tick_id', 'feed', 'received_at'))
    THEN
        RETURN;
    END IF;
    ALTER TABLE stocks_real_time
        ALTER COLUMN tick_id SET DEFAULT ticks_platform.manual_tick_id(),
        ALTER COLUMN feed SET DEFAULT 'manual',
        ALTER COLUMN received_at SET DEFAULT clock_timestamp();
END
$$;

-- The index on time that this creates is kept. Without it COPY takes 1.3 times as many rows a second, but the newest tick of a feed
-- takes a scan of its chunks (500,000 rows on 2.29.2: 48 ms against 0.2 ms; max(time): 20 ms against 0.7 ms).
SELECT create_hypertable('stocks_real_time', by_range('time', INTERVAL '1 day'), if_not_exists => true);

CREATE INDEX IF NOT EXISTS ix_symbol_time ON stocks_real_time (symbol, time DESC);

-- Lets the loader store large batches by column at once: about three times faster and ten times smaller. Only where it is not enabled
-- yet, since the operator may have chosen other columns.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM timescaledb_information.hypertables
        JOIN pg_namespace ON nspname = hypertable_schema
        JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = hypertable_name
        WHERE pg_class.oid = 'stocks_real_time'::regclass AND NOT compression_enabled
    ) THEN
        ALTER TABLE stocks_real_time SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'symbol',
            timescaledb.compress_orderby = 'time DESC, tick_id DESC'
        );
    END IF;
END
$$;

COMMENT ON TABLE stocks_real_time IS 'Ticks: one row per price event.';
COMMENT ON COLUMN stocks_real_time.time IS 'Event time, as stamped by the provider.';
COMMENT ON COLUMN stocks_real_time.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN stocks_real_time.price IS 'Price, in the currency that the symbol is quoted in.';
COMMENT ON COLUMN stocks_real_time.day_volume IS 'Volume of the trading day so far, cumulative; not the size of this trade.';
COMMENT ON COLUMN stocks_real_time.tick_id IS 'Identifies the tick permanently. A feed''s is a UUIDv7 of event time and arrival; that of a row by hand a UUIDv8 of arrival. Order by ticks_platform.tick_order(time, tick_id).';
COMMENT ON COLUMN stocks_real_time.size IS 'Size of this trade, where the provider sends trades.';
COMMENT ON COLUMN stocks_real_time.bid IS 'Best bid, where the provider sends it.';
COMMENT ON COLUMN stocks_real_time.ask IS 'Best ask, where the provider sends it.';
COMMENT ON COLUMN stocks_real_time.exchange IS 'Where it traded, as the provider numbers or names it; with the TRF behind a slash for off-exchange trades.';
COMMENT ON COLUMN stocks_real_time.trade_id IS 'The provider''s id of the trade: unique per symbol, exchange and day.';
COMMENT ON COLUMN stocks_real_time.feed IS 'Feed that brought it, as named in feeds.yaml; manual for a row by hand.';
COMMENT ON COLUMN stocks_real_time.received_at IS 'When it reached our socket, or was inserted by hand; corrected where the clock of this machine was wrong.';
COMMENT ON COLUMN stocks_real_time.updates IS 'What it may change in a candle: 1 open and close, 2 high and low, 4 volume; 8 cancelled, 16 of a secondary feed. Empty for everything.';
COMMENT ON COLUMN stocks_real_time.conditions IS 'Conditions of the trade, as the provider numbers them; see ticks_platform.trade_condition.';
COMMENT ON COLUMN stocks_real_time.received_at_raw IS 'When it reached our socket by the clock of this machine, where that was wrong and received_at was corrected.';
