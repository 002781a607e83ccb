-- The extension. On a managed server it may have to be allowed first; see the documentation of the service.
CREATE EXTENSION IF NOT EXISTS timescaledb;

-- The symbols that the feeds stream, and the names of their companies.
CREATE TABLE IF NOT EXISTS company (
    symbol  text PRIMARY KEY,
    name    text NOT NULL
);

COMMENT ON TABLE company IS 'Symbols and the names of their companies.';
COMMENT ON COLUMN company.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN company.name IS 'Name of the company or instrument.';

-- Bars: aggregates that the provider made. A bar that is sent again replaces the earlier one. Candles are made from ticks, not from these.
CREATE TABLE IF NOT EXISTS stock_aggregates (
    symbol         text             NOT NULL,
    start_time     timestamptz      NOT NULL,
    end_time       timestamptz      NOT NULL,
    open_price     double precision,
    high_price     double precision,
    low_price      double precision,
    close_price    double precision,
    volume         double precision,
    average_price  double precision,
    feed           text             NOT NULL,
    received_at    timestamptz      NOT NULL,
    CONSTRAINT not_from_the_future CHECK (start_time <= received_at + INTERVAL '5 minutes'),
    CONSTRAINT not_before_1990 CHECK (start_time >= '1990-01-01 00:00:00+00'),
    CONSTRAINT ends_after_its_start CHECK (end_time > start_time)
);

SELECT create_hypertable('stock_aggregates', by_range('start_time', INTERVAL '7 days'), if_not_exists => true, create_default_indexes => false);

-- The window is part of the key: a bar of a second and one of a minute may begin together.
CREATE UNIQUE INDEX IF NOT EXISTS stock_aggregates_key ON stock_aggregates (symbol, start_time DESC, end_time, feed);

-- Finds all bars of an hour; see stock_quotes.
CREATE INDEX IF NOT EXISTS stock_aggregates_start_time_idx ON stock_aggregates USING brin (start_time) WITH (autosummarize = on);

COMMENT ON TABLE stock_aggregates IS 'Bars: aggregates as the provider sent them, in their latest correction.';
COMMENT ON COLUMN stock_aggregates.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN stock_aggregates.start_time IS 'Begin of the window.';
COMMENT ON COLUMN stock_aggregates.end_time IS 'End of the window: a second or a minute later.';
COMMENT ON COLUMN stock_aggregates.volume IS 'Volume of the window, with fractions where the provider sends them; the number of quotes for currencies.';
COMMENT ON COLUMN stock_aggregates.average_price IS 'Volume-weighted average price of the window.';
COMMENT ON COLUMN stock_aggregates.feed IS 'Feed that brought it, as named in feeds.yaml.';
COMMENT ON COLUMN stock_aggregates.received_at IS 'When its latest correction reached our socket.';

-- Best bids and offers, for feeds that stream them.
CREATE TABLE IF NOT EXISTS stock_quotes (
    time         timestamptz      NOT NULL,
    symbol       text             NOT NULL,
    bid_price    double precision,
    bid_size     double precision,
    ask_price    double precision,
    ask_size     double precision,
    -- As in stocks_real_time: identifies the quote permanently, and sorts quotes that share a time stamp by arrival.
    quote_id     uuid             NOT NULL,
    exchange     text,
    feed         text             NOT NULL,
    received_at  timestamptz      NOT NULL,
    CONSTRAINT not_from_the_future CHECK (time <= received_at + INTERVAL '5 minutes'),
    CONSTRAINT not_before_1990 CHECK (time >= '1990-01-01 00:00:00+00')
);

SELECT create_hypertable('stock_quotes', by_range('time', INTERVAL '1 day'), if_not_exists => true, create_default_indexes => false);

CREATE INDEX IF NOT EXISTS stock_quotes_symbol_time_idx ON stock_quotes (symbol, time DESC);

-- Finds all quotes of an hour, for the audit: quotes lie in the table about in order of arrival, so an index of a few pages finds the
-- hour. A B-tree as on the ticks would slow down every insert for that one reader.
CREATE INDEX IF NOT EXISTS stock_quotes_time_idx ON stock_quotes USING brin (time) WITH (autosummarize = on);

COMMENT ON TABLE stock_quotes IS 'Quotes: one row per change of the best bid or offer that a feed sent.';
COMMENT ON COLUMN stock_quotes.time IS 'Event time, as stamped by the provider.';
COMMENT ON COLUMN stock_quotes.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN stock_quotes.bid_size IS 'Size at the best bid, in the provider''s unit: Polygon documents round lots for stocks.';
COMMENT ON COLUMN stock_quotes.ask_size IS 'Size at the best offer, in the provider''s unit.';
COMMENT ON COLUMN stock_quotes.quote_id IS 'UUIDv7 of event time and arrival.';
COMMENT ON COLUMN stock_quotes.exchange IS 'Exchange of the quote, where the provider names one.';
COMMENT ON COLUMN stock_quotes.feed IS 'Feed that brought it, as named in feeds.yaml.';
COMMENT ON COLUMN stock_quotes.received_at IS 'When it reached our socket.';

-- The schema of the machinery; what users query is in their own schema.
CREATE SCHEMA IF NOT EXISTS ticks_platform;

-- The trigger on ticks of an older release, whose day_volume was a whole number: fills the column that the old candles read. It
-- refuses what a loader of that release sends: eight bytes that are a whole number and not a fraction. Its argument is the largest value
-- of that column, if it is not a bigint.
CREATE OR REPLACE FUNCTION ticks_platform.keep_day_volume_whole()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NEW.day_volume = 'NaN' OR (NEW.day_volume <> 0 AND abs(NEW.day_volume) < 1e-300) THEN
        RAISE EXCEPTION 'the day_volume of % was sent by an older release of ticks_platform', NEW.symbol
            USING HINT = 'Stop the processes of the older release. What they have received is in their journals.';
    END IF;
    NEW.day_volume_whole := CASE WHEN abs(NEW.day_volume) < coalesce(TG_ARGV[0]::double precision, 9e18) THEN NEW.day_volume END;
    RETURN NEW;
END
$$;

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

-- The hash of what a tick is and says: its id, which holds its time, its price, its size and what it may change. The sum over an hour
-- is the hour's fingerprint. NULL without a price. Each hash is the seed of the next one. A zero hashes to its seed, so a size that is
-- NULL is told from it by the first seed, and left out, as `updates` is where it is NULL.
-- The loader computes the same by numpy (ticks_platform/ingestion/rows/fingerprint.py): a change here is a new version.
-- It is written so that the planner puts its body in its place: one expression, no SET.
CREATE OR REPLACE FUNCTION ticks_platform.tick_hash(tick_id uuid, price double precision, size double precision, updates smallint)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN updates IS NULL AND size IS NOT NULL THEN hashfloat8extended(size, hashfloat8extended(price, uuid_hash_extended(tick_id, 0)))
    WHEN updates IS NULL THEN hashfloat8extended(price, uuid_hash_extended(tick_id, 1))
    WHEN size IS NOT NULL
        THEN hashint2extended(updates, hashfloat8extended(size, hashfloat8extended(price, uuid_hash_extended(tick_id, 0))))
    ELSE hashint2extended(updates, hashfloat8extended(price, uuid_hash_extended(tick_id, 1)))
END;

COMMENT ON FUNCTION ticks_platform.tick_hash IS 'Hash of id, price, size and updates of a tick; the sum over an hour is in feed_hour.fingerprint.';

-- The version of the formula; NULL on a server that hashes otherwise, whose fingerprints nobody could compare: PostgreSQL promises
-- the same hashes on one release and one byte order alone.
CREATE OR REPLACE FUNCTION ticks_platform.fingerprint_version() RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN ticks_platform.tick_hash('01234567-89ab-7def-8123-456789abcdef', 1.5, 100, 3::smallint) = 7953672006608795972 THEN 1::smallint
END;

COMMENT ON FUNCTION ticks_platform.fingerprint_version IS 'Version of the formula of fingerprints; empty on a server that hashes otherwise.';

-- Computes the fingerprint of an hour of which it is not known, and takes what is there for what was loaded if the number is right.
-- Loaders that have ticks of that hour, mostly long past, wait meanwhile; if one of them is at it, this is left for later.
-- Returns whether the hour has a fingerprint now.
CREATE OR REPLACE FUNCTION ticks_platform.fill_fingerprint(of_feed text, of_hour timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    expected bigint;
    found record;
BEGIN
    SELECT loaded - gone INTO expected
    FROM ticks_platform.feed_hour
    WHERE feed = of_feed AND destination = 'stocks_real_time' AND hour = of_hour AND fingerprint IS NULL
    FOR UPDATE SKIP LOCKED;
    IF expected IS NULL THEN
        RETURN false;
    END IF;
    -- A statement of its own: it sees what was committed before the lock.
    SELECT count(*) AS rows, coalesce(sum(ticks_platform.tick_hash(tick_id, price, size, updates)), 0) AS fingerprint INTO found
    FROM stocks_real_time
    WHERE feed = of_feed AND time >= of_hour AND time < of_hour + INTERVAL '1 hour';
    IF found.rows <> expected OR ticks_platform.fingerprint_version() IS NULL THEN
        RETURN false;
    END IF;
    UPDATE ticks_platform.feed_hour
    SET fingerprint = found.fingerprint, fingerprint_version = ticks_platform.fingerprint_version()
    WHERE feed = of_feed AND destination = 'stocks_real_time' AND hour = of_hour;
    INSERT INTO ticks_platform.proven_hour
    VALUES (of_feed, of_hour, found.rows, found.fingerprint, clock_timestamp())
    ON CONFLICT (feed, hour) DO UPDATE
    SET rows = excluded.rows, fingerprint = excluded.fingerprint, proven_at = excluded.proven_at;
    DELETE FROM ticks_platform.wrong_hour WHERE feed = of_feed AND hour = of_hour;
    RETURN true;
END
$$;

COMMENT ON FUNCTION ticks_platform.fill_fingerprint IS 'Computes the fingerprint of an hour of ticks of which it is not known.';

-- The sum of the hashes of the candles of a minute of a time, as in proven_candles. In PL/pgSQL, which looks the candles up when it is called:
-- they are made later, and a rebuild of them does not concern it.
CREATE OR REPLACE FUNCTION ticks_platform.candles_hash(begins timestamptz, ends timestamptz) RETURNS numeric
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(hash_record_extended(
            (bucket, symbol, open, high, low, close, day_volume, volume, tick_count, price_count), 0
        )), 0)
        FROM one_minute_candle
        WHERE bucket >= begins AND bucket < ends
    );
END
$$;

-- What is to be said of a candle of a time: final, proven, or why it is not: open, differs, gap or not_checked. `unproven` and `wrong` are of
-- the length of the candle.
-- With a body that is parsed, it becomes a part of the query that calls it.
CREATE OR REPLACE FUNCTION ticks_platform.candle_state(
    begins timestamptz, ends timestamptz, received tstzmultirange, missing tstzmultirange, unproven tstzmultirange, wrong tstzmultirange,
    trued_up tstzmultirange, trues_up boolean, is_settled boolean
) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN ends > now() THEN 'open'
        WHEN tstzrange(begins, ends) && wrong THEN 'differs'
        WHEN missing IS NOT NULL AND tstzrange(begins, ends) && missing OR NOT tstzrange(begins, ends) <@ received THEN 'gap'
        WHEN received IS NULL OR tstzrange(begins, ends) && unproven THEN 'not_checked'
        WHEN is_settled AND CASE
            WHEN trues_up THEN tstzrange(begins, ends) <@ trued_up
            -- What no provider corrects is final a day after its UTC day.
            ELSE time_bucket(INTERVAL '1 day', ends - INTERVAL '1 microsecond') + INTERVAL '48 hours' <= now()
        END THEN 'final'
        ELSE 'proven'
    END;
END;

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

-- The chunks of ticks that are in the columnstore, and what tells each from what it was: the relation of its batches, how many there are, of
-- how many rows, and where they are and which transactions wrote them, as one number; and whether there are rows beside them. Milliseconds for
-- ten million ticks. A chunk that is compressed meanwhile is left out. With `can_be_sealed`, only those that have no seal and are over.
-- That of releases without the argument would be another function.
DROP FUNCTION IF EXISTS ticks_platform.chunk_identities();

CREATE OR REPLACE FUNCTION ticks_platform.chunk_identities(can_be_sealed boolean DEFAULT false)
RETURNS TABLE (
    chunk text, begins_at timestamptz, ends_at timestamptz, relation text, batches bigint, rows bigint, identity bigint, has_rows boolean
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    FOR chunk, begins_at, ends_at, relation IN
        SELECT format('%I.%I', chunk_schema, chunk_name), range_start, range_end, compress_relid::regclass::text
        FROM timescaledb_information.chunks
        JOIN _timescaledb_catalog.compression_settings ON relid = format('%I.%I', chunk_schema, chunk_name)::regclass
        WHERE hypertable_schema = (
                SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                WHERE pg_class.oid = 'stocks_real_time'::regclass
            )
            AND hypertable_name = 'stocks_real_time' AND compress_relid IS NOT NULL
            AND NOT (can_be_sealed AND (
                range_end > now() - INTERVAL '2 minutes'
                OR EXISTS (SELECT FROM ticks_platform.sealed_chunk AS sealed WHERE sealed.chunk = format('%I.%I', chunk_schema, chunk_name))
            ))
        ORDER BY range_start
    LOOP
        BEGIN
            -- PostgreSQL 18 alone has a hash function for transaction ids.
            EXECUTE format(
                'SELECT count(*), coalesce(sum(_ts_meta_count), 0), '
                'coalesce(bit_xor(hashtidextended(ctid, hashint8extended(xmin::text::bigint, 0))), 0) FROM %s', relation
            )
            INTO batches, rows, identity;
            EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s)', chunk) INTO has_rows;
        EXCEPTION WHEN undefined_table THEN
            CONTINUE;
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION ticks_platform.chunk_identities IS 'The compressed chunks of ticks, each with a number that changes when anything of it does.';

-- Official prices of exchanges' sessions. They repeat trades of auctions, which are ticks: so they are none, and count in no volume.
CREATE TABLE IF NOT EXISTS official_price (
    time         timestamptz      NOT NULL,
    symbol       text             NOT NULL,
    -- The exchange's trading day.
    session      date             NOT NULL,
    kind         text             NOT NULL CHECK (kind IN ('open', 'close', 'corrected_close')),
    price        double precision NOT NULL,
    size         double precision,
    -- Empty where the provider does not tell.
    exchange     text             NOT NULL,
    is_primary   boolean          NOT NULL,
    feed         text             NOT NULL,
    received_at  timestamptz      NOT NULL,
    PRIMARY KEY (symbol, session, kind, exchange, feed)
);

COMMENT ON TABLE official_price IS 'Official opens and closes of exchanges'' sessions, in their latest correction.';
COMMENT ON COLUMN official_price.time IS 'Event time, as stamped by the provider.';
COMMENT ON COLUMN official_price.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN official_price.session IS 'The trading day, as the exchange dates it.';
COMMENT ON COLUMN official_price.kind IS 'open, close, or corrected_close: a correction of the consolidated close by the listing exchange.';
COMMENT ON COLUMN official_price.price IS 'Price, in the currency that the symbol is quoted in.';
COMMENT ON COLUMN official_price.size IS 'Size of the auction, for information: its trade is among the ticks.';
COMMENT ON COLUMN official_price.exchange IS 'The exchange whose price it is, as the provider numbers or names it.';
COMMENT ON COLUMN official_price.is_primary IS 'Whether that exchange lists the symbol.';
COMMENT ON COLUMN official_price.feed IS 'Feed that brought it, as named in feeds.yaml.';
COMMENT ON COLUMN official_price.received_at IS 'When it reached our socket.';

-- Trades that the market took back: what the tick had before, and when that was known. Rows are only added; the tick keeps its row.
CREATE TABLE IF NOT EXISTS tick_correction (
    -- A UUIDv7, made as a tick_id is: of the same place in the same journal, so that nothing is added twice.
    correction_id  uuid         PRIMARY KEY,
    -- Event time of the trade, or of the message that took it back.
    time           timestamptz  NOT NULL,
    symbol         text         NOT NULL,
    exchange       text,
    trade_id       text         NOT NULL,
    feed           text         NOT NULL,
    kind           text         NOT NULL CHECK (kind IN ('cancelled', 'corrected')),
    -- NULL until its tick is stored.
    tick_id        uuid,
    known_at       timestamptz  NOT NULL,
    source         text         NOT NULL,
    price          double precision,
    size           double precision,
    updates        smallint,
    conditions     smallint[]
);

CREATE INDEX IF NOT EXISTS tick_correction_tick_idx ON tick_correction (tick_id);

-- The ones that wait for their tick: few, and looked up with each batch.
CREATE INDEX IF NOT EXISTS tick_correction_waiting_idx ON tick_correction (feed, time) WHERE tick_id IS NULL;

COMMENT ON TABLE tick_correction IS 'Trades that the market took back, with what their ticks had before.';
COMMENT ON COLUMN tick_correction.correction_id IS 'UUIDv7, made as a tick_id is.';
COMMENT ON COLUMN tick_correction.time IS 'Event time of the trade that was taken back.';
COMMENT ON COLUMN tick_correction.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN tick_correction.exchange IS 'Where it traded, as in stocks_real_time.';
COMMENT ON COLUMN tick_correction.trade_id IS 'The provider''s id of the trade.';
COMMENT ON COLUMN tick_correction.feed IS 'Feed that brought the tick, as named in feeds.yaml.';
COMMENT ON COLUMN tick_correction.kind IS 'cancelled, or corrected: then the corrected trade is a tick of its own.';
COMMENT ON COLUMN tick_correction.tick_id IS 'The tick; empty until it is stored.';
COMMENT ON COLUMN tick_correction.known_at IS 'When we learned of it.';
COMMENT ON COLUMN tick_correction.source IS 'Where it was said, in the provider''s words.';
COMMENT ON COLUMN tick_correction.price IS 'Price of the trade that was taken back.';
COMMENT ON COLUMN tick_correction.size IS 'Its size.';
COMMENT ON COLUMN tick_correction.updates IS 'What it could change in a candle until then.';
COMMENT ON COLUMN tick_correction.conditions IS 'Its conditions.';

-- When trading of a symbol was halted, and when it resumed, as a provider told. Polygon tells it of symbols that are listed on Nasdaq only.
CREATE TABLE IF NOT EXISTS trading_halt (
    time         timestamptz  NOT NULL,
    symbol       text         NOT NULL,
    kind         text         NOT NULL CHECK (kind IN ('halt', 'resume')),
    feed         text         NOT NULL,
    received_at  timestamptz  NOT NULL,
    PRIMARY KEY (symbol, time, kind, feed)
);

COMMENT ON TABLE trading_halt IS 'Halts of trading and their ends.';
COMMENT ON COLUMN trading_halt.time IS 'Event time, as stamped by the provider.';
COMMENT ON COLUMN trading_halt.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN trading_halt.kind IS 'halt, or resume: trading goes on.';
COMMENT ON COLUMN trading_halt.feed IS 'Feed that brought it, as named in feeds.yaml.';
COMMENT ON COLUMN trading_halt.received_at IS 'When it reached our socket.';

-- Splits and dividends, in every version that was known. A version is in force until the next one, or until the provider no longer has
-- the action. Ticks are never adjusted: views of candles read this table. Rows of one's own have the source `manual`.
CREATE TABLE IF NOT EXISTS corporate_action (
    symbol          text              NOT NULL,
    kind            text              NOT NULL CHECK (kind IN ('split', 'dividend')),
    -- The first day that trades with it, its pre-market included; of a dividend, the ex-date.
    execution_date  date              NOT NULL,
    split_from      double precision,
    split_to        double precision,
    cash_amount     double precision,
    currency        text,
    historical_adjustment_factor  double precision,
    price_factor    double precision  CHECK (price_factor > 0 AND price_factor < 'Infinity'),
    -- Empty for rows without a provider.
    provider_id     text              NOT NULL DEFAULT '',
    source          text              NOT NULL DEFAULT 'manual',
    known_at        timestamptz       NOT NULL DEFAULT now(),
    superseded_at   timestamptz,
    CONSTRAINT split_has_ratio CHECK (
        kind <> 'split'
        OR (split_from IS NOT NULL AND split_to IS NOT NULL AND split_from > 0 AND split_to > 0 AND split_from < 'Infinity' AND split_to < 'Infinity')
    ),
    CONSTRAINT dividend_has_amount CHECK (
        kind <> 'dividend' OR (cash_amount IS NOT NULL AND cash_amount >= 0 AND cash_amount < 'Infinity')
    ),
    CONSTRAINT superseded_after_known CHECK (superseded_at >= known_at)
);

-- One version of an action is in force at a time.
CREATE UNIQUE INDEX IF NOT EXISTS corporate_action_in_force_idx
    ON corporate_action (symbol, kind, execution_date, source, provider_id) WHERE superseded_at IS NULL;

COMMENT ON TABLE corporate_action IS 'Splits and dividends: a row per version; superseded_at is empty in those that are in force.';
COMMENT ON COLUMN corporate_action.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN corporate_action.kind IS 'split (also reverse splits and stock dividends) or dividend (in cash).';
COMMENT ON COLUMN corporate_action.execution_date IS 'First day that trades with it, pre-market included; the ex-date of a dividend.';
COMMENT ON COLUMN corporate_action.split_from IS 'Shares before the split: 1 of a split 4:1, 20 of a reverse split 1:20.';
COMMENT ON COLUMN corporate_action.split_to IS 'Shares after the split: 4 of a split 4:1, 1 of a reverse split 1:20.';
COMMENT ON COLUMN corporate_action.cash_amount IS 'Dividend per share, in its currency, as declared.';
COMMENT ON COLUMN corporate_action.currency IS 'Currency of the dividend.';
COMMENT ON COLUMN corporate_action.historical_adjustment_factor IS 'The provider''s factor for prices before execution_date, newer actions of the same kind included. It changes with each newer action, which makes no new version.';
COMMENT ON COLUMN corporate_action.price_factor IS 'Of a dividend without a factor of the provider: what prices before it are multiplied by because of it alone, 1 - cash_amount / the close before, computed by the asset corporate_actions.';
COMMENT ON COLUMN corporate_action.provider_id IS 'The provider''s id of the action, or what identifies it where there is none.';
COMMENT ON COLUMN corporate_action.source IS 'Provider that said it, or manual.';
COMMENT ON COLUMN corporate_action.known_at IS 'When this version was learned of.';
COMMENT ON COLUMN corporate_action.superseded_at IS 'When another version was known, or that there is no such action; empty while it is in force.';

-- What is known of the instruments that the symbols name. Rows of symbols in feeds.yaml are kept by the asset of this name; those of
-- other symbols are whoever's wrote them. Checks read it; a symbol without a row may not have a price of zero or less.
CREATE TABLE IF NOT EXISTS instrument (
    symbol           text         PRIMARY KEY,
    -- NULL where nobody has said it.
    asset_class      text         CHECK (asset_class IN (
        'stock', 'etf', 'fund', 'index', 'currency', 'crypto', 'commodity', 'future', 'option', 'bond', 'other'
    )),
    mic              text,
    currency         text,
    tick_size        double precision CHECK (tick_size > 0 AND tick_size < 'Infinity'),
    may_be_negative  boolean      NOT NULL DEFAULT false,
    calendar         text,
    hours            text,
    source           text         NOT NULL DEFAULT 'manual',
    changed_at       timestamptz  NOT NULL DEFAULT now()
);

COMMENT ON TABLE instrument IS 'What is known of the instruments that the symbols name.';
COMMENT ON COLUMN instrument.symbol IS 'Symbol, as the ticks have it.';
COMMENT ON COLUMN instrument.asset_class IS 'stock, etf, fund, index, currency (a pair), crypto, commodity (a spot price), future, option, bond or other.';
COMMENT ON COLUMN instrument.mic IS 'The exchange that lists it, by its MIC.';
COMMENT ON COLUMN instrument.currency IS 'Unit of its prices: a currency''s code, or GBX, ZAC and ILA for hundredths of pounds, rand and shekels.';
COMMENT ON COLUMN instrument.tick_size IS 'Smallest step of its price, in that unit.';
COMMENT ON COLUMN instrument.may_be_negative IS 'Whether its price may be zero or negative, as that of a future, a spread or an index.';
COMMENT ON COLUMN instrument.calendar IS 'Calendar of its regular hours.';
COMMENT ON COLUMN instrument.hours IS 'Calendar of the hours in which the provider sends it.';
COMMENT ON COLUMN instrument.source IS 'Who has said this, the first wins: feeds.yaml, a provider''s reference data, default for what its market lets expect; manual.';
COMMENT ON COLUMN instrument.changed_at IS 'When any of it last changed.';

-- Round lots of instruments, each valid until the next one. US stocks have had lots by their price since 2025-11-03: 100 shares up to
-- 250 dollars, 40 up to 1,000, 10 up to 10,000 and 1 above, set each May and November.
CREATE TABLE IF NOT EXISTS round_lot (
    symbol      text              NOT NULL,
    valid_from  date              NOT NULL,
    round_lot   double precision  NOT NULL CHECK (round_lot > 0 AND round_lot < 'Infinity'),
    source      text              NOT NULL DEFAULT 'manual',
    PRIMARY KEY (symbol, valid_from)
);

COMMENT ON TABLE round_lot IS 'Round lots of instruments, by the day from which they are valid.';
COMMENT ON COLUMN round_lot.symbol IS 'Symbol, as the ticks have it.';
COMMENT ON COLUMN round_lot.valid_from IS 'First day of the lot; 0001-01-01 where feeds.yaml gives no day, and of a provider''s the day on which it was first seen.';
COMMENT ON COLUMN round_lot.round_lot IS 'Units of a round lot.';
COMMENT ON COLUMN round_lot.source IS 'feeds.yaml, the provider that said it, or manual.';

-- The product of numbers, as an aggregate: PostgreSQL has none, and sums of logarithms are not exact.
CREATE OR REPLACE AGGREGATE ticks_platform.product(double precision) (SFUNC = float8mul, STYPE = double precision, INITCOND = '1', PARALLEL = SAFE);

-- The feeds that this database knows, and whether each is enabled. Rows by hand are of a feed `manual`, which is here once retention has
-- dropped some of them.
CREATE TABLE IF NOT EXISTS ticks_platform.feed (
    feed       text     PRIMARY KEY,
    provider   text     NOT NULL,
    -- Whether its prices come from the stand-in. A database holds either synthetic or live ticks, never both.
    synthetic  boolean  NOT NULL,
    -- Switched by the jobs enable_feed and disable_feed.
    enabled    boolean  NOT NULL DEFAULT true,
    -- Whether its ticks make candles, as feeds.yaml said at its last start; if not, it is secondary.
    candles    boolean  NOT NULL DEFAULT true,
    -- How many of its rejected events retention has deleted. Its ledger still has them.
    rejected_deleted  bigint  NOT NULL DEFAULT 0,
    -- Whether its days are trued up, as feeds.yaml and the provider say; NULL until candles are proven first.
    trues_up   boolean
);

-- For tables of releases without secondary feeds, or without retention of rejected events.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed'::regclass AND attname = 'candles') THEN
        ALTER TABLE ticks_platform.feed ADD COLUMN candles boolean NOT NULL DEFAULT true;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed'::regclass AND attname = 'rejected_deleted') THEN
        ALTER TABLE ticks_platform.feed ADD COLUMN rejected_deleted bigint NOT NULL DEFAULT 0;
    END IF;
    -- Of releases that did not say which candles are final.
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed'::regclass AND attname = 'trues_up') THEN
        ALTER TABLE ticks_platform.feed ADD COLUMN trues_up boolean;
    END IF;
END
$$;

-- One writer per feed: the owner with the highest epoch. Every loading transaction checks its own epoch against this row.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_lease (
    feed           text        PRIMARY KEY REFERENCES ticks_platform.feed,
    epoch          bigint      NOT NULL,
    owner          text        NOT NULL,
    taken_at       timestamptz NOT NULL,
    heartbeat_at   timestamptz NOT NULL,
    released_at    timestamptz,
    -- The journal that the owner appends to, one of the feed's journals on its machine.
    journal_id     uuid,
    -- What is wrong with the clock of the owner's machine, in words; NULL while it is right as far as the owner can tell.
    clock_trouble  text,
    -- The latest event time of ticks that were loaded beside the owner, such as rejected ones again, or those of files: it looks up those until then.
    reloaded_until timestamptz
);

-- For tables of releases in which a feed had one journal on a machine.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_lease'::regclass AND attname = 'journal_id') THEN
        ALTER TABLE ticks_platform.feed_lease ADD COLUMN journal_id uuid;
    END IF;
    -- Of releases that did not look at the clock.
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_lease'::regclass AND attname = 'clock_trouble') THEN
        ALTER TABLE ticks_platform.feed_lease ADD COLUMN clock_trouble text;
    END IF;
    -- Of releases whose owners did not know what is loaded again beside them.
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_lease'::regclass AND attname = 'reloaded_until') THEN
        ALTER TABLE ticks_platform.feed_lease ADD COLUMN reloaded_until timestamptz;
    END IF;
END
$$;

-- Planned hand-overs of a feed from one owner to the next: both receive for some seconds, and what both received is stored once.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_handover (
    feed                 text        NOT NULL REFERENCES ticks_platform.feed,
    -- The successor's, reserved at the begin: what it receives from then on is accounted for under this epoch. Below zero, it is no
    -- hand-over: a journal came back, and is compared with what others have stored since.
    epoch                bigint      NOT NULL,
    successor            text        NOT NULL,
    journal_id           uuid        NOT NULL,
    predecessor          text        NOT NULL,
    predecessor_epoch    bigint      NOT NULL,
    predecessor_journal  uuid,
    begun_at             timestamptz NOT NULL,
    -- When the successor took the lease, by its own clock; until then the predecessor continues.
    taken_at             timestamptz,
    -- When the predecessor closed its connection; NULL when it was killed.
    closed_at            timestamptz,
    -- When it was decided which events of the successor's journal the predecessor had stored.
    settled_at           timestamptz,
    -- Their number, and their positions: 8 bytes each, little-endian, ascending, compressed by zlib.
    left_out             bigint,
    left_out_positions   bytea,
    PRIMARY KEY (feed, epoch)
);
CREATE INDEX IF NOT EXISTS feed_handover_journal_idx ON ticks_platform.feed_handover (journal_id, epoch DESC);

-- How far each journal is loaded. Moved in the transaction that stores the rows, so the two cannot disagree.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_checkpoint (
    -- The last 16 bits of every tick_id from this journal, so that two journals never make the same tick_id.
    journal_number  integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY (MINVALUE 1 MAXVALUE 65535),
    feed            text        NOT NULL REFERENCES ticks_platform.feed,
    -- A feed has a journal on each machine where it has run.
    journal_id      uuid        NOT NULL UNIQUE,
    -- Frames before this position are loaded. A position is the number of bytes of all frames before it.
    position        bigint      NOT NULL,
    -- Frames that this database has loaded from it.
    frames          bigint      NOT NULL,
    -- Frames that were committed elsewhere before this database knew the journal.
    frames_before   bigint      NOT NULL,
    committed_at    timestamptz NOT NULL,
    -- Name of the host that the journal is on.
    host            text,
    -- What tells machines of one name apart.
    machine         text,
    -- The journal's file there.
    file            text,
    -- When its owner last told of it; NULL if none ever did, as for journals of repairs.
    heard_at        timestamptz,
    -- As of then, the position of the oldest frame that waited.
    heard_from      bigint,
    -- As of then, the position after the last frame.
    heard_to        bigint,
    -- As of then, the number of frames that were ever appended.
    heard_frames    bigint,
    -- Whether frames may have been appended since.
    is_open         boolean     NOT NULL DEFAULT false,
    -- When it was declared lost; NULL if it was not.
    lost_at         timestamptz,
    -- By whom it was declared lost.
    lost_by         text,
    -- Why it was declared lost.
    lost_reason     text
);

-- For tables of releases that did not hear of journals.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_checkpoint'::regclass AND attname = 'heard_at') THEN
        ALTER TABLE ticks_platform.feed_checkpoint
            ADD COLUMN host text,
            ADD COLUMN machine text,
            ADD COLUMN file text,
            ADD COLUMN heard_at timestamptz,
            ADD COLUMN heard_from bigint,
            ADD COLUMN heard_to bigint,
            ADD COLUMN heard_frames bigint,
            ADD COLUMN is_open boolean NOT NULL DEFAULT false,
            ADD COLUMN lost_at timestamptz,
            ADD COLUMN lost_by text,
            ADD COLUMN lost_reason text;
    END IF;
END
$$;

-- The account of each feed's connections: what was received and what became of it. The equation holds at every commit, since the
-- database refuses a row in which it does not.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_ledger (
    feed               text        NOT NULL REFERENCES ticks_platform.feed,
    epoch              bigint      NOT NULL,
    connection         integer     NOT NULL,
    first_received_at  timestamptz NOT NULL,
    last_received_at   timestamptz NOT NULL,
    frames             bigint      NOT NULL,
    -- Decoded items of those frames.
    events             bigint      NOT NULL,
    -- New rows in stocks_real_time, stock_quotes or stock_aggregates.
    loaded             bigint      NOT NULL,
    -- Bars that replaced an earlier bar of their window.
    replaced           bigint      NOT NULL DEFAULT 0,
    -- Events that the provider sent again.
    duplicate          bigint      NOT NULL,
    -- Rows in rejected_event.
    rejected           bigint      NOT NULL,
    -- Events without market data: heartbeats, statuses.
    control            bigint      NOT NULL,
    -- When the last frame with data arrived, or the first of the frames that were read together with it.
    last_data_at       timestamptz,
    PRIMARY KEY (feed, epoch, connection),
    CONSTRAINT every_event_is_accounted_for CHECK (events = loaded + replaced + duplicate + rejected + control)
);

-- For tables of releases without bars, or without coverage.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_ledger'::regclass AND attname = 'replaced') THEN
        ALTER TABLE ticks_platform.feed_ledger
            ADD COLUMN replaced bigint NOT NULL DEFAULT 0,
            DROP CONSTRAINT every_event_is_accounted_for,
            ADD CONSTRAINT every_event_is_accounted_for CHECK (events = loaded + replaced + duplicate + rejected + control);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_ledger'::regclass AND attname = 'last_data_at') THEN
        ALTER TABLE ticks_platform.feed_ledger ADD COLUMN last_data_at timestamptz;
    END IF;
END
$$;

-- Rows that were loaded and are gone, with a reason: what retention dropped, and what somebody declared. feed_hour.gone has their numbers by
-- feed and hour; this says who, when and why. Rows are only added.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_gone (
    -- The table that the rows were in.
    table_name   text        NOT NULL,
    -- The begin of the first hour of event time that they were of.
    begins_at    timestamptz NOT NULL,
    -- The end of the last one.
    ends_at      timestamptz NOT NULL,
    -- How many there were by the account; below zero where rows that had been declared gone are there again.
    rows         bigint      NOT NULL,
    -- When they were dropped by retention, or declared.
    declared_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- `retention`, `upgrade`, or who declared it.
    declared_by  text        NOT NULL,
    -- Why they are gone.
    reason       text        NOT NULL
);

-- How many ticks of each UTC hour of event time were loaded, by feed and table. It is added to in the transaction that stores the
-- rows and nothing is ever taken away, so it agrees with the ledger also after retention has dropped chunks. The table has
-- loaded - gone rows of the hour.
DO $$
BEGIN
    IF to_regclass('ticks_platform.feed_hour') IS NOT NULL THEN
        RETURN;
    END IF;

    CREATE TABLE ticks_platform.feed_hour (
        feed              text        NOT NULL REFERENCES ticks_platform.feed,
        -- The table that the rows are in.
        destination       text        NOT NULL,
        -- Begin of the hour; -infinity for rows that were loaded before this table existed and are gone.
        hour              timestamptz NOT NULL,
        loaded            bigint      NOT NULL CHECK (loaded > 0),
        last_received_at  timestamptz NOT NULL,
        -- When its first batch was counted. A chunk that was created later is not the one that those rows went to.
        counted_since     timestamptz NOT NULL,
        -- When its last batch was counted.
        changed_at        timestamptz NOT NULL,
        -- Sum of the hashes (tick_hash) of its ticks that are not gone; NULL of other tables, and where it is not known: of
        -- hours that an older release loaded, or of which rows were declared gone, until they are proven.
        fingerprint          numeric,
        -- The version of the formula of the fingerprint.
        fingerprint_version  smallint,
        -- Of the rows that were loaded, those that retention dropped or somebody declared gone; feed_gone says which.
        gone                 bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (feed, destination, hour)
    );

    IF to_regclass('stocks_real_time') IS NULL THEN
        RETURN;
    END IF;
    -- Loaders of an older release would continue without counting. Their leases end here, and runs of this release follow. This
    -- waits for a batch that is being loaded, which is then counted below.
    UPDATE ticks_platform.feed_lease SET epoch = epoch + 1;
    INSERT INTO ticks_platform.feed_hour (feed, destination, hour, loaded, last_received_at, counted_since, changed_at)
    SELECT feed, 'stocks_real_time', time_bucket(INTERVAL '1 hour', time), count(*), max(received_at),
        clock_timestamp(), max(received_at)
    FROM stocks_real_time
    WHERE feed IN (SELECT feed.feed FROM ticks_platform.feed)
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time);
    -- Whether the other rows were dropped or deleted, and when the last of them arrived, is not known.
    INSERT INTO ticks_platform.feed_hour (feed, destination, hour, loaded, last_received_at, counted_since, changed_at)
    SELECT ledger.feed, 'stocks_real_time', '-infinity', ledger.loaded - coalesce(hours.loaded, 0),
        ledger.received_at, clock_timestamp(), ledger.received_at
    FROM (
        SELECT feed, sum(loaded) AS loaded, min(first_received_at) AS received_at
        FROM ticks_platform.feed_ledger GROUP BY feed
    ) AS ledger
    LEFT JOIN (SELECT feed, sum(loaded) AS loaded FROM ticks_platform.feed_hour GROUP BY feed) AS hours USING (feed)
    WHERE ledger.loaded > coalesce(hours.loaded, 0);
END
$$;

-- For tables of releases without fingerprints.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_hour'::regclass AND attname = 'fingerprint_version'
    ) THEN
        ALTER TABLE ticks_platform.feed_hour ADD COLUMN fingerprint numeric, ADD COLUMN fingerprint_version smallint;
    END IF;
END
$$;

-- For tables of releases that left out hours whose chunks were gone, whoever had dropped them: those are gone. Hours of chunks that
-- were created after rows of theirs had been counted are counted, since late rows brought those chunks back.
DO $$
DECLARE
    kept record;
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_hour'::regclass AND attname = 'gone') THEN
        RETURN;
    END IF;
    ALTER TABLE ticks_platform.feed_hour ADD COLUMN gone bigint NOT NULL DEFAULT 0;
    IF NOT EXISTS (SELECT FROM ticks_platform.feed_hour) THEN
        RETURN;
    END IF;
    FOR kept IN
        SELECT hypertable_schema AS schema, hypertable_name AS name, column_name AS time
        FROM timescaledb_information.dimensions
        WHERE dimension_number = 1 AND hypertable_name IN (SELECT destination FROM ticks_platform.feed_hour)
            AND hypertable_schema = (
                SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                WHERE pg_class.oid = 'stocks_real_time'::regclass
            )
    LOOP
        EXECUTE format(
            $query$
            WITH chunk AS MATERIALIZED (
                SELECT range_start, range_end,
                    -- By name, for releases whose view does not have it.
                    (to_jsonb(chunks) ->> 'chunk_creation_time')::timestamptz AS created_at
                FROM timescaledb_information.chunks
                WHERE hypertable_schema = %1$L AND hypertable_name = %2$L
            ),
            incomplete AS MATERIALIZED (
                SELECT feed, hour, loaded, EXISTS (
                    SELECT FROM chunk WHERE range_start < hour + INTERVAL '1 hour' AND range_end > hour
                ) AS has_chunk
                FROM ticks_platform.feed_hour
                WHERE destination = %2$L AND isfinite(hour) AND INTERVAL '1 hour' IS DISTINCT FROM (
                    SELECT sum(least(range_end, hour + INTERVAL '1 hour') - greatest(range_start, hour))
                    FROM chunk
                    WHERE range_start < hour + INTERVAL '1 hour' AND range_end > hour
                        AND (created_at IS NULL OR created_at <= counted_since)
                )
            ),
            missing AS MATERIALIZED (
                SELECT feed, hour, loaded - CASE WHEN has_chunk THEN (
                    SELECT count(*)
                    FROM %1$I.%2$I AS stored
                    WHERE stored.feed = incomplete.feed AND stored.%3$I >= hour AND stored.%3$I < hour + INTERVAL '1 hour'
                ) ELSE 0 END AS number
                FROM incomplete
            ),
            noted AS (
                UPDATE ticks_platform.feed_hour AS counted
                SET gone = missing.number
                FROM missing
                WHERE counted.destination = %2$L AND counted.feed = missing.feed AND counted.hour = missing.hour AND missing.number > 0
                RETURNING counted.hour, counted.gone
            )
            INSERT INTO ticks_platform.feed_gone (table_name, begins_at, ends_at, rows, declared_by, reason)
            SELECT %2$L, min(hour), max(hour) + INTERVAL '1 hour', sum(gone), 'upgrade',
                'were gone when this release was installed; earlier ones did not note who had dropped them'
            FROM noted
            HAVING count(*) > 0
            $query$,
            kept.schema, kept.name, kept.time
        );
    END LOOP;
END
$$;

-- Loaders of a release without fingerprints would add ticks to hours and not to their fingerprints. Their leases end here, and runs of this
-- release follow. This waits for a batch that is being loaded. The epoch stays: a planned successor has received frames under the next one.
DO $$
DECLARE
    held text;
BEGIN
    IF to_regclass('ticks_platform.proven_hour') IS NOT NULL THEN
        RETURN;
    END IF;
    FOREACH held IN ARRAY ARRAY['ticks_platform.feed_lease', 'ticks_platform.feed_repair_lease'] LOOP
        IF to_regclass(held) IS NOT NULL THEN
            EXECUTE format(
                'UPDATE %s SET owner = owner || $1 WHERE released_at IS NULL AND owner NOT LIKE ''%%'' || $1', held
            )
            USING ' (ended by an upgrade)';
        END IF;
    END LOOP;
END
$$;

-- Hours whose ticks were found to be those that were loaded, as many and with the same fingerprint. An hour is due again when
-- feed_hour has another number or fingerprint. Apart from feed_hour, so that who proves never waits for who loads.
CREATE TABLE IF NOT EXISTS ticks_platform.proven_hour (
    feed         text         NOT NULL REFERENCES ticks_platform.feed,
    -- Begin of the hour.
    hour         timestamptz  NOT NULL,
    -- How many rows it had then.
    rows         bigint       NOT NULL,
    -- The sum of their hashes.
    fingerprint  numeric      NOT NULL,
    -- When that was.
    proven_at    timestamptz  NOT NULL,
    PRIMARY KEY (feed, hour)
);

-- What was read of the ticks of the last hours: each tick once, as it is new. An hour is proven by the sum of its slices. They are kept for
-- twelve hours, so that of an hour that gets late ticks only the slices are read that have some.
CREATE TABLE IF NOT EXISTS ticks_platform.proven_slice (
    feed         text         NOT NULL,
    -- Begin of the time that was read.
    begins_at    timestamptz  NOT NULL,
    -- Its end, in the same hour.
    ends_at      timestamptz  NOT NULL,
    -- How many rows the feed had in that time.
    rows         bigint       NOT NULL,
    -- The sum of their hashes.
    fingerprint  numeric      NOT NULL,
    -- When that was.
    read_at      timestamptz  NOT NULL,
    -- How many of them may form a price, and have an impossible one.
    impossible   bigint       NOT NULL DEFAULT 0,
    PRIMARY KEY (begins_at, feed)
);

-- For tables of releases that read prices apart.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.proven_slice'::regclass AND attname = 'impossible') THEN
        ALTER TABLE ticks_platform.proven_slice ADD COLUMN impossible bigint NOT NULL DEFAULT 0;
        -- Of what was read before, it is not known.
        DELETE FROM ticks_platform.proven_slice;
    END IF;
    DROP TABLE IF EXISTS ticks_platform.judged_prices;
END
$$;

-- Ten minutes of ticks in which some came late, or were changed by a correction: what is known of them is read again. Only added to by those
-- who load, and only deleted by those who prove, so that neither waits for the other. A note that is missing costs the reading of the whole
-- hour, and nothing else.
CREATE TABLE IF NOT EXISTS ticks_platform.touched_slice (
    -- Begin of the ten minutes.
    begins_at  timestamptz  NOT NULL
);

-- Hours whose ticks were found not to be those that were loaded: what checks tell until the hour is right, or declared. So that it does not
-- take the time of others, such an hour is read again after eight minutes, and then after twice as long each time.
CREATE TABLE IF NOT EXISTS ticks_platform.wrong_hour (
    feed         text         NOT NULL,
    -- Begin of the hour.
    hour         timestamptz  NOT NULL,
    -- Ticks that were loaded, by the account.
    loaded       bigint       NOT NULL,
    -- Those that were gone with a reason.
    gone         bigint       NOT NULL,
    -- Rows that were in the table.
    stored       bigint       NOT NULL,
    -- The fingerprint that was expected; NULL if none was known.
    fingerprint  numeric,
    -- Whether the number was right.
    is_changed   boolean      NOT NULL,
    -- When it was first found.
    found_at     timestamptz  NOT NULL,
    -- When it is read again.
    retry_at     timestamptz  NOT NULL,
    -- How often it was read.
    tries        integer      NOT NULL,
    PRIMARY KEY (hour, feed)
);

-- Candles of a minute that were found to be those of their ticks, by the time that was compared, of ten minutes at most. They are compared
-- again when they have another hash.
CREATE TABLE IF NOT EXISTS ticks_platform.proven_candles (
    -- Begin of the time that was compared.
    begins_at    timestamptz  NOT NULL PRIMARY KEY,
    -- Its end, in the same hour.
    ends_at      timestamptz  NOT NULL,
    -- How many candles there were.
    candles      bigint       NOT NULL,
    -- The sum of the hashes of what was compared of them.
    hash         numeric      NOT NULL,
    -- When they were compared with their ticks.
    proven_at    timestamptz  NOT NULL,
    -- When they had that hash last.
    looked_at    timestamptz  NOT NULL
);

-- What is proven of candles of a minute, by ten minutes and feed: that they equal all that was received of the feed, and repaired, by a moment.
-- A row holds while its hour has the same account in feed_hour; or, while the hour is new and still receives ticks, while its candles have the
-- same hash. Rows that hold no more are kept: they tell what was proven at a moment.
CREATE TABLE IF NOT EXISTS ticks_platform.candle_proof (
    -- Begin of the ten minutes.
    begins_at    timestamptz  NOT NULL,
    -- Until when they are proven.
    ends_at      timestamptz  NOT NULL,
    feed         text         NOT NULL,
    -- Of the hour, as in feed_hour.
    loaded       bigint       NOT NULL,
    -- Of the hour, as in feed_hour.
    gone         bigint       NOT NULL,
    -- Of the hour, as in feed_hour.
    fingerprint  numeric,
    -- The sum of the hashes of the candles, of all feeds.
    hash         numeric      NOT NULL,
    -- The candles equal all that was received by then.
    proven_at    timestamptz  NOT NULL,
    -- When that was found.
    recorded_at  timestamptz  NOT NULL,
    -- Until when it was known to hold; NULL while nobody knows better.
    held_until   timestamptz,
    PRIMARY KEY (begins_at, feed, recorded_at)
);

CREATE UNIQUE INDEX IF NOT EXISTS candle_proof_newest_idx ON ticks_platform.candle_proof (begins_at, feed) WHERE held_until IS NULL;

-- Hours and days whose candles were found to be those of the finer candles, with the account of all feeds at that time: it holds while
-- that is the same.
CREATE TABLE IF NOT EXISTS ticks_platform.level_proof (
    -- one_hour_candle or one_day_candle.
    candle       text         NOT NULL,
    -- Begin of the hour or day.
    bucket       timestamptz  NOT NULL,
    -- The sum of all feeds, as in feed_hour.
    loaded       numeric      NOT NULL,
    -- The sum of all feeds, as in feed_hour.
    fingerprint  numeric,
    -- When they were compared.
    compared_at  timestamptz  NOT NULL,
    PRIMARY KEY (candle, bucket)
);

-- Buckets with a candle that is not what its ticks, or the finer candles, make of it, and that a refresh has not mended.
CREATE TABLE IF NOT EXISTS ticks_platform.differing_candle (
    candle    text         NOT NULL,
    -- Begin of the bucket.
    bucket    timestamptz  NOT NULL,
    found_at  timestamptz  NOT NULL,
    PRIMARY KEY (candle, bucket)
);

-- For each feed: everything that had reached a journal by `until` is loaded, as far as the owners of the journals have told; NULL while something
-- waits. `is_settled` tells that no journal but that of the living owner may have more to load.
CREATE OR REPLACE VIEW ticks_platform.loaded_until AS
SELECT
    feed,
    CASE
        WHEN bool_or(waits) OR coalesce(bool_or(is_untold), false) THEN NULL
        ELSE coalesce(min(heard_at) FILTER (WHERE is_open), now())
    END AS until,
    NOT coalesce(bool_or((waits OR is_open) AND NOT is_owned), false) AS is_settled,
    coalesce(bool_or(is_open), false) AS is_open
FROM (
    SELECT
        feed.feed,
        heard_at,
        coalesce(lost_at IS NULL AND heard_frames > frames_before + frames, false) AS waits,
        coalesce(lost_at IS NULL AND heard_at IS NOT NULL AND is_open, false) AS is_open,
        coalesce(journal.journal_id = lease.journal_id AND heartbeat_at > clock_timestamp() - INTERVAL '30 seconds', false) AS is_owned,
        -- The owner's journal, of which it has not told yet.
        journal.journal_id = lease.journal_id AND heard_at IS NULL AS is_untold
    FROM ticks_platform.feed
    LEFT JOIN ticks_platform.feed_checkpoint AS journal USING (feed)
    LEFT JOIN (SELECT * FROM ticks_platform.feed_lease WHERE released_at IS NULL) AS lease USING (feed)
) AS journals
GROUP BY feed;

COMMENT ON VIEW ticks_platform.loaded_until IS 'Until when everything that a feed has received is loaded.';
COMMENT ON COLUMN ticks_platform.loaded_until.feed IS 'As named in feeds.yaml.';
COMMENT ON COLUMN ticks_platform.loaded_until.until IS 'Everything that had reached a journal by then is loaded; empty while something waits.';
COMMENT ON COLUMN ticks_platform.loaded_until.is_settled IS 'Whether no other journal than that of the living owner may have more to load.';
COMMENT ON COLUMN ticks_platform.loaded_until.is_open IS 'Whether a journal of it may grow.';

-- The proofs of candles of a minute that hold now.
CREATE OR REPLACE VIEW ticks_platform.proven_times AS
SELECT proof.begins_at, proof.ends_at, proof.feed, proof.proven_at
FROM ticks_platform.candle_proof AS proof
JOIN ticks_platform.feed_hour AS counted
    ON counted.feed = proof.feed AND destination = 'stocks_real_time' AND hour = time_bucket(INTERVAL '1 hour', proof.begins_at)
WHERE held_until IS NULL
    AND CASE
        WHEN proof.loaded = counted.loaded
            -- What retention dropped was proven before.
            AND ((proof.gone, proof.fingerprint) IS NOT DISTINCT FROM (counted.gone, counted.fingerprint) OR counted.gone = counted.loaded)
            THEN true
        ELSE proof.begins_at >= now() - INTERVAL '3 hours' AND proof.hash = ticks_platform.candles_hash(proof.begins_at, proof.ends_at)
    END;

COMMENT ON VIEW ticks_platform.proven_times IS 'Times of which the candles equal all that was received of a feed, and repaired, by proven_at.';
COMMENT ON COLUMN ticks_platform.proven_times.begins_at IS 'Begin of ten minutes.';
COMMENT ON COLUMN ticks_platform.proven_times.ends_at IS 'Until when they are proven.';
COMMENT ON COLUMN ticks_platform.proven_times.feed IS 'As named in feeds.yaml.';
COMMENT ON COLUMN ticks_platform.proven_times.proven_at IS 'The candles equal all that was received and repaired by then.';

-- For the candles of an hour and of a day: the buckets that were not compared with the finer candles as they are now, and those that differ.
CREATE OR REPLACE VIEW ticks_platform.level_unproven AS
WITH account AS (
    SELECT candle, time_bucket(width, hour) AS bucket, width, sum(loaded) AS loaded, sum(fingerprint) AS fingerprint,
        count(*) = count(fingerprint) AS is_known, sum(gone) = sum(loaded) AS is_gone
    FROM ticks_platform.feed_hour
    CROSS JOIN (VALUES ('one_hour_candle', INTERVAL '1 hour'), ('one_day_candle', INTERVAL '24 hours')) AS level (candle, width)
    WHERE destination = 'stocks_real_time' AND isfinite(hour)
    GROUP BY candle, time_bucket(width, hour), width
),
differing AS (
    SELECT candle, range_agg(tstzrange(bucket, bucket + CASE candle
        WHEN 'one_minute_candle' THEN INTERVAL '1 minute' WHEN 'one_hour_candle' THEN INTERVAL '1 hour' ELSE INTERVAL '24 hours'
    END)) AS wrong
    FROM ticks_platform.differing_candle
    GROUP BY candle
),
unproven AS (
    SELECT candle, range_agg(tstzrange(account.bucket, account.bucket + width)) AS unproven
    FROM account
    LEFT JOIN ticks_platform.level_proof AS proof USING (candle, bucket)
    WHERE (proof.loaded = account.loaded AND (is_known AND proof.fingerprint = account.fingerprint OR is_gone)) IS NOT true
    GROUP BY candle
)
SELECT candle, coalesce(unproven, '{}') AS unproven, coalesce(wrong, '{}') AS wrong
FROM (VALUES ('one_minute_candle'), ('one_hour_candle'), ('one_day_candle')) AS level (candle)
LEFT JOIN unproven USING (candle)
LEFT JOIN differing USING (candle);

COMMENT ON VIEW ticks_platform.level_unproven IS 'Which hours and days are not proven to be those of the finer candles.';
COMMENT ON COLUMN ticks_platform.level_unproven.candle IS 'one_minute_candle, one_hour_candle or one_day_candle.';
COMMENT ON COLUMN ticks_platform.level_unproven.unproven IS 'Buckets that were not compared as they are now; none of a minute.';
COMMENT ON COLUMN ticks_platform.level_unproven.wrong IS 'Buckets with a candle that differs.';

-- Hours of which the candles of a minute were judged by a check and found right, as they were then: they are not read again while they are the
-- same.
CREATE TABLE IF NOT EXISTS ticks_platform.judged_candles (
    -- The check.
    judged_by  text         NOT NULL,
    -- Begin of the hour.
    hour       timestamptz  NOT NULL,
    -- The sum of the hashes of its candles of a minute, from proven_candles.
    minutes    numeric      NOT NULL,
    -- That of its candles of an hour, where they were judged too.
    hash       numeric      NOT NULL,
    PRIMARY KEY (judged_by, hour)
);

-- Chunks of ticks in the columnstore, without rows beside it, whose hours were all proven: they need not be read again while they are what they
-- were. Compressing a chunk again changes that, and its seal with it. Retention drops a seal with its chunk.
CREATE TABLE IF NOT EXISTS ticks_platform.sealed_chunk (
    -- The chunk, with its schema.
    chunk      text         NOT NULL PRIMARY KEY,
    -- Begin of the chunk's time.
    begins_at  timestamptz  NOT NULL,
    -- Its end.
    ends_at    timestamptz  NOT NULL,
    -- The relation of its batches.
    relation   text         NOT NULL,
    -- How many batches there are.
    batches    bigint       NOT NULL,
    -- How many rows they have.
    rows       bigint       NOT NULL,
    -- Where the batches are, and which transactions wrote them, as one number.
    identity   bigint       NOT NULL,
    -- When that was.
    sealed_at  timestamptz  NOT NULL,
    -- When it was last found to be so.
    seen_at    timestamptz  NOT NULL
);

-- Chunks of ticks in the columnstore that are not sealed yet, as they were when that was noted: they are sealed once all their hours were proven
-- since, while they are still the same.
CREATE TABLE IF NOT EXISTS ticks_platform.unsealed_chunk (
    -- The chunk, with its schema.
    chunk      text         NOT NULL PRIMARY KEY,
    -- The relation of its batches.
    relation   text         NOT NULL,
    -- How many batches there are.
    batches    bigint       NOT NULL,
    -- How many rows they have.
    rows       bigint       NOT NULL,
    -- Where the batches are, and which transactions wrote them, as one number.
    identity   bigint       NOT NULL,
    -- After which time its hours have to be proven.
    noted_at   timestamptz  NOT NULL
);

-- What late_refresh has refreshed: for each hour and each day, how many ticks and corrections were loaded when its refresh began. The numbers in
-- feed_hour only grow, so a candle lacks ticks where its number there differs. A time would not do: a batch that was counted before
-- a refresh began may be committed after it.
CREATE TABLE IF NOT EXISTS ticks_platform.candle_refresh (
    candle        text        NOT NULL,
    -- Begin of the hour or day, UTC.
    bucket        timestamptz NOT NULL,
    loaded        bigint      NOT NULL,
    refreshed_at  timestamptz NOT NULL,
    PRIMARY KEY (candle, bucket)
);

-- The history of each feed's connections: every change of state and every notice from the provider.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_session (
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    epoch       bigint      NOT NULL,
    connection  integer     NOT NULL,
    at          timestamptz NOT NULL,
    state       text        NOT NULL,
    detail      text        NOT NULL
);
CREATE INDEX IF NOT EXISTS feed_session_feed_at_idx ON ticks_platform.feed_session (feed, at DESC);

-- The state of each channel that a feed subscribed to: streamed, refused by the provider, or silent.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_channel (
    feed     text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the provider names it: a symbol, or a channel of a symbol such as T.AAPL.
    channel  text        NOT NULL,
    -- subscribed | failed | silent
    state    text        NOT NULL,
    since    timestamptz NOT NULL,
    detail   text        NOT NULL,
    PRIMARY KEY (feed, channel)
);

-- When each symbol of a feed was in feeds.yaml: at other times, nothing of it can be missing. A change of its hours begins a row, whose
-- time touches that of the row before.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_symbol (
    feed          text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol        text        NOT NULL,
    wanted_from   timestamptz NOT NULL,
    -- NULL while it is in feeds.yaml.
    wanted_until  timestamptz,
    -- The calendar of the provider's sending hours: `always`, or as in market_session. At other times, nothing can be missing.
    calendar      text        NOT NULL,
    -- Why the provider does not stream it, in the provider's words; NULL when it does, or has not answered.
    refusal       text,
    -- The owner that said so. It may not have been the first: what an earlier one was asked for may reach the database after it.
    epoch         bigint,
    -- What that owner said, where coverage of an earlier one tells that it was wanted before.
    said_from     timestamptz,
    -- The same moment by the clock of the database's server: the owner's may have been ahead without anybody's learning of it.
    by_server     timestamptz,
    PRIMARY KEY (feed, symbol, wanted_from)
);

-- For tables of releases in which the first to say so was taken at its word.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_symbol'::regclass AND attname = 'epoch') THEN
        ALTER TABLE ticks_platform.feed_symbol
            ADD COLUMN epoch bigint, ADD COLUMN said_from timestamptz, ADD COLUMN by_server timestamptz;
    END IF;
END
$$;

-- When each symbol of a feed was received: one row from an acknowledged subscription, or from the first tick after a silence, to the
-- last moment up to which all that the provider sent has arrived. Owners of a feed may overlap for moments, and so may connections:
-- a time is covered when any of them covers it. Times are those of arrival, by the clock of the receiving machine, corrected where it is known to be wrong; intervals are
-- half-open.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_coverage (
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol      text        NOT NULL,
    begins_at   timestamptz NOT NULL,
    -- NULL while it lasts, as far as this database knows.
    ends_at     timestamptz,
    -- disconnected | stalled | silent | unsubscribed | refused | stopped | switched_off | killed | clock_stepped (this machine's clock was
    -- set) | slept. Coverage of an owner that was killed
    -- ends with the last data that is loaded, and is extended when more is loaded from its journal.
    ended_by    text,
    epoch       bigint      NOT NULL,
    connection  integer     NOT NULL,
    -- Whether the gaps before and after it are computed.
    computed    boolean     NOT NULL DEFAULT false,
    -- Whether earlier coverage is deleted: the gaps before this one are final.
    is_first_kept boolean   NOT NULL DEFAULT false,
    PRIMARY KEY (feed, symbol, begins_at, epoch, connection),
    CONSTRAINT ends_after_it_begins CHECK (ends_at >= begins_at),
    CONSTRAINT ended_by_something CHECK ((ends_at IS NULL) = (ended_by IS NULL))
);

-- For tables of older releases.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_coverage'::regclass AND attname = 'reckoned'
    ) THEN
        ALTER TABLE ticks_platform.feed_coverage RENAME COLUMN reckoned TO computed;
        ALTER INDEX IF EXISTS ticks_platform.feed_coverage_not_reckoned_idx RENAME TO feed_coverage_not_computed_idx;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_coverage'::regclass AND attname = 'is_first_kept'
    ) THEN
        ALTER TABLE ticks_platform.feed_coverage ADD COLUMN is_first_kept boolean NOT NULL DEFAULT false;
    END IF;
END
$$;

-- Finds what ends after a moment, or has not ended.
CREATE INDEX IF NOT EXISTS feed_coverage_ends_at_idx ON ticks_platform.feed_coverage (feed, symbol, coalesce(ends_at, 'infinity'));

-- Finds what began long before a moment and reaches beyond it.
CREATE INDEX IF NOT EXISTS feed_coverage_long_idx ON ticks_platform.feed_coverage (feed, symbol, ends_at)
    WHERE ends_at - begins_at > INTERVAL '24 hours';

CREATE INDEX IF NOT EXISTS feed_coverage_not_computed_idx ON ticks_platform.feed_coverage (feed) WHERE NOT computed;

-- Coverage whose end may still change.
CREATE INDEX IF NOT EXISTS feed_coverage_open_idx ON ticks_platform.feed_coverage (feed, epoch, connection)
    WHERE ends_at IS NULL OR ended_by = 'killed';

CREATE INDEX IF NOT EXISTS feed_coverage_first_kept_idx ON ticks_platform.feed_coverage (feed, symbol) WHERE is_first_kept;

-- The gaps: intervals within a symbol's sessions in which it was not received although the feed streamed it, so ticks may be missing.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_gap (
    gap_id         bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    feed           text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol         text        NOT NULL,
    -- Times of arrival, by the clock of the receiving machine; the interval is half-open.
    begins_at      timestamptz NOT NULL,
    -- NULL while it lasts.
    ends_at        timestamptz,
    -- What ended the coverage before it, as in feed_coverage; not_subscribed when there was none.
    cause          text        NOT NULL,
    -- open | repaired | unrepairable | ignored. Gaps of a feed that was switched off are ignored from the start.
    state          text        NOT NULL DEFAULT 'open'
        CONSTRAINT known_state CHECK (state IN ('open', 'repaired', 'unrepairable', 'ignored')),
    rows_repaired  bigint      NOT NULL DEFAULT 0,
    detail         text        NOT NULL DEFAULT '',
    found_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (feed, symbol, begins_at),
    CONSTRAINT ends_after_it_begins CHECK (ends_at > begins_at)
);

CREATE INDEX IF NOT EXISTS feed_gap_ends_at_idx ON ticks_platform.feed_gap (feed, symbol, coalesce(ends_at, 'infinity'));
-- Finds the newest.
CREATE INDEX IF NOT EXISTS feed_gap_begins_at_idx ON ticks_platform.feed_gap (begins_at);
CREATE INDEX IF NOT EXISTS feed_gap_open_idx ON ticks_platform.feed_gap (feed, begins_at) WHERE state = 'open';
CREATE INDEX IF NOT EXISTS feed_gap_ongoing_idx ON ticks_platform.feed_gap (feed, symbol) WHERE ends_at IS NULL;

COMMENT ON TABLE ticks_platform.feed_gap IS 'Intervals within a symbol''s sessions in which it was not received, and what became of them.';

-- Events that cannot become rows, with the reason and the bytes as received.
CREATE TABLE IF NOT EXISTS ticks_platform.rejected_event (
    feed            text        NOT NULL REFERENCES ticks_platform.feed,
    journal_number  integer     NOT NULL REFERENCES ticks_platform.feed_checkpoint,
    -- The position of the frame, plus the place of the event within it.
    position        bigint      NOT NULL,
    received_at     timestamptz NOT NULL,
    reason          text        NOT NULL,
    -- Empty if it is a large frame, which is stored with the first of its rejected events.
    raw             bytea       NOT NULL,
    -- The event's place within `raw`, if that is a frame with others; NULL if all of `raw` was rejected.
    place           integer,
    -- The connection that brought it; NULL if an older release rejected it.
    epoch           bigint,
    connection      integer,
    PRIMARY KEY (journal_number, position)
);

CREATE INDEX IF NOT EXISTS rejected_event_received_at_idx ON ticks_platform.rejected_event (received_at);

-- For tables of releases that could not load them again.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.rejected_event'::regclass AND attname = 'place') THEN
        ALTER TABLE ticks_platform.rejected_event
            ADD COLUMN place integer,
            ADD COLUMN epoch bigint,
            ADD COLUMN connection integer;
    END IF;
END
$$;

-- How many ticks, quotes and bars had an optional field that could not be read. They are stored without it: it costs no price. Added to
-- in the transaction that stores them.
CREATE TABLE IF NOT EXISTS ticks_platform.malformed_field (
    feed              text        NOT NULL REFERENCES ticks_platform.feed,
    -- UTC day of arrival.
    day               date        NOT NULL,
    -- As the provider calls it.
    field             text        NOT NULL,
    -- How many had a value in it that could not be read.
    events            bigint      NOT NULL CHECK (events > 0),
    last_received_at  timestamptz NOT NULL,
    PRIMARY KEY (feed, day, field)
);

-- What was fetched, and is to be fetched, from a provider's history: one row per symbol and range of event time. No two ranges of a
-- kind overlap unless one of them has failed, so nothing is fetched twice.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair (
    repair_id   bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol      text        NOT NULL,
    -- trades | bars: of a gap, or of a day that was selected; extended_bars: of a gap outside regular hours, where those are requested
    -- apart; true_up_bars | true_up_trades: see feed_true_up
    kind        text        NOT NULL,
    -- Event time, half-open.
    begins_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    -- wanted: not fetched to its end; fetched: complete in the journal of repairs; loaded: in its table; done: candles up to date and
    -- gaps settled; failed: asking again cannot help.
    state       text        NOT NULL DEFAULT 'wanted'
        CONSTRAINT known_state CHECK (state IN ('wanted', 'fetched', 'loaded', 'done', 'failed')),
    -- The provider's token of the next page; NULL before the first page.
    cursor      text,
    pages       integer     NOT NULL DEFAULT 0,
    -- Results in those pages, as counted by the provider.
    results     bigint      NOT NULL DEFAULT 0,
    -- The journal that holds the pages until they are loaded.
    journal_id  uuid,
    -- The last error, and how many there were in a row.
    error       text        NOT NULL DEFAULT '',
    failures    integer     NOT NULL DEFAULT 0,
    -- Not tried again before this time.
    retry_at    timestamptz,
    made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT ends_after_it_begins CHECK (ends_at > begins_at)
);

CREATE INDEX IF NOT EXISTS feed_repair_symbol_idx ON ticks_platform.feed_repair (feed, symbol, kind, begins_at);

-- Finds those that reach into a time, without those of years before.
CREATE INDEX IF NOT EXISTS feed_repair_ends_at_idx ON ticks_platform.feed_repair (feed, symbol, kind, ends_at);

-- Finds the newest error.
CREATE INDEX IF NOT EXISTS feed_repair_error_idx ON ticks_platform.feed_repair (feed, changed_at) WHERE error <> '';

CREATE INDEX IF NOT EXISTS feed_repair_unfinished_idx ON ticks_platform.feed_repair (feed) WHERE state IN ('wanted', 'fetched', 'loaded');

COMMENT ON TABLE ticks_platform.feed_repair IS 'What was fetched from providers'' histories, and what is to be fetched.';

-- One repair of a feed at a time, as feed_lease does for its ingestion. The two run beside each other.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair_lease (
    feed          text        PRIMARY KEY REFERENCES ticks_platform.feed,
    epoch         bigint      NOT NULL,
    owner         text        NOT NULL,
    taken_at      timestamptz NOT NULL,
    heartbeat_at  timestamptz NOT NULL,
    released_at   timestamptz
);

-- Requests to providers' REST APIs in the last days. They are counted before they are made, so neither a restart nor a crash renews a
-- budget.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair_request (
    request_id  bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- Provider, and the name of the variable that holds the key: limits apply to these.
    account     text        NOT NULL,
    -- NULL of a request for something else than ticks.
    repair_id   bigint      REFERENCES ticks_platform.feed_repair,
    -- Who made it.
    owner       text        NOT NULL,
    at          timestamptz NOT NULL,
    -- What came of it; NULL while it is under way, or when its run was killed.
    outcome     text,
    -- The provider accepts no other request before this time.
    pause_until timestamptz,
    -- What it uses of the limits.
    credits     integer     NOT NULL DEFAULT 1
);

-- For tables of releases that counted requests of repairs only.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_repair_request'::regclass AND attname = 'credits'
    ) THEN
        ALTER TABLE ticks_platform.feed_repair_request
            ADD COLUMN credits integer NOT NULL DEFAULT 1,
            ALTER COLUMN repair_id DROP NOT NULL;
    END IF;
END
$$;

CREATE INDEX IF NOT EXISTS feed_repair_request_at_idx ON ticks_platform.feed_repair_request (account, at DESC);

-- The true-up: one row per feed, trading day and symbol, since trades are cancelled and corrected without a word on the WebSocket. What
-- is fetched for it are ranges of feed_repair, of the kinds true_up_bars and true_up_trades.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_true_up (
    feed              text        NOT NULL REFERENCES ticks_platform.feed,
    -- The trading day, as the symbol's exchange dates it; UTC where there is no exchange.
    day               date        NOT NULL,
    -- As the ticks call it.
    symbol            text        NOT NULL,
    -- bars: the trades of the minutes that differ are fetched again; trades: those of the whole day.
    mode              text        NOT NULL CONSTRAINT known_mode CHECK (mode IN ('bars', 'trades')),
    -- Event time, half-open: the extended hours of the day, as far as the provider's history has them.
    begins_at         timestamptz NOT NULL,
    -- Its end.
    ends_at           timestamptz NOT NULL,
    -- wanted: bars (or trades) to be fetched; differs: candles differ from the bars, trades of those minutes to be fetched;
    -- done: compared for the last time; failed: asking again cannot help.
    state             text        NOT NULL DEFAULT 'wanted'
        CONSTRAINT known_state CHECK (state IN ('wanted', 'differs', 'done', 'failed')),
    -- Minutes that were compared; NULL until then, and by trades.
    compared          integer,
    -- The minutes that differed when the bars came.
    differed          timestamptz[],
    -- How many still do after the trades were fetched again.
    still_differing   integer,
    -- Trades of the day that are known to be cancelled or corrected.
    corrections       integer,
    -- Why it failed, or which minutes still differ.
    detail            text        NOT NULL DEFAULT '',
    -- When it was recorded.
    wanted_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When the result was known.
    known_at          timestamptz,
    PRIMARY KEY (feed, day, symbol)
);

COMMENT ON TABLE ticks_platform.feed_true_up IS 'What the true-up of each day has found, by symbol.';

-- Files of past data that `ticks import` has read, one row per file and feed. How far a file is loaded is in feed_checkpoint, under the
-- number of its journal, and moves in the transaction that stores its rows.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_import (
    -- Made of the feed, the file's contents, its format and the feed's symbols: the same file under another name is the same one.
    journal_id      uuid        PRIMARY KEY,
    -- Its number in feed_checkpoint, and in the last 16 bits of every tick_id of it.
    journal_number  integer     NOT NULL,
    -- Whose ticks they are.
    feed            text        NOT NULL REFERENCES ticks_platform.feed,
    -- As it was named last.
    file            text        NOT NULL,
    -- polygon-flat-file | csv | parquet; behind it the kind of its rows, if they are no trades: polygon-flat-file quotes.
    format          text        NOT NULL,
    -- The position of the begin of the file, unpacked: a row's position is this one and the bytes before it.
    first_position  bigint      NOT NULL,
    -- The epoch in feed_ledger: that of the run which began it.
    epoch           bigint      NOT NULL,
    -- Event time of its first tick, loaded or known.
    first_time      timestamptz,
    -- Event time of its last one.
    last_time       timestamptz,
    -- When a process began it.
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When its last row was loaded.
    finished_at     timestamptz,
    -- When the candles of its days were refreshed and the gaps that it fills were closed.
    settled_at      timestamptz
);

CREATE INDEX IF NOT EXISTS feed_import_unsettled_idx ON ticks_platform.feed_import (feed) WHERE settled_at IS NULL;

COMMENT ON TABLE ticks_platform.feed_import IS 'Files of past data that were imported.';

-- When the exchanges of the symbols are open, and when the providers send, by their calendars: from some days before the first tick to a
-- year ahead. A day with a break at noon has two rows with the same session. What never closes, the calendar `always`, has no rows.
CREATE TABLE IF NOT EXISTS ticks_platform.market_session (
    -- An exchange's MIC, such as XNYS, or 24/5 for currencies; with sending hours, as in `XNYS 04:00-20:00`.
    calendar   text         NOT NULL,
    opens_at   timestamptz  NOT NULL,
    closes_at  timestamptz  NOT NULL,
    -- The trading day, as dated by the exchange: one that opens in the evening has the date of the next day.
    session    date         NOT NULL,
    -- Begin of the whole trading day, extended hours included: midnight of the exchange's time zone, or the opening if that is earlier,
    -- but not before the closing of the day before. NULL in rows of older releases, until the asset market_calendar is materialized.
    day_begins_at  timestamptz,
    -- Its end: the next midnight, or the closing if that is later, but not after the next day's opening.
    day_ends_at    timestamptz,
    PRIMARY KEY (calendar, opens_at),
    CONSTRAINT closes_after_it_opens CHECK (closes_at > opens_at)
);

-- For tables of releases without the whole day.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.market_session'::regclass AND attname = 'day_ends_at'
    ) THEN
        ALTER TABLE ticks_platform.market_session ADD COLUMN day_begins_at timestamptz, ADD COLUMN day_ends_at timestamptz;
    END IF;
END
$$;

-- The calendars of every symbol in feeds.yaml. One that left feeds.yaml stays until another feed has it: its candles stay, and so do
-- its session days.
CREATE TABLE IF NOT EXISTS ticks_platform.symbol_calendar (
    feed      text  NOT NULL,
    -- As the ticks call it.
    symbol    text  NOT NULL,
    -- The market's regular hours: as in market_session, or `always`.
    calendar  text  NOT NULL,
    -- The provider's sending hours, in which data can be missing: as in market_session, or `always`. NULL in rows of older releases,
    -- until the asset market_calendar is materialized.
    hours     text,
    PRIMARY KEY (feed, symbol)
);

-- For tables of releases without sending hours.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.symbol_calendar'::regclass AND attname = 'hours'
    ) THEN
        ALTER TABLE ticks_platform.symbol_calendar ADD COLUMN hours text;
    END IF;
END
$$;

CREATE INDEX IF NOT EXISTS symbol_calendar_symbol_idx ON ticks_platform.symbol_calendar (symbol);

-- What is to be known of a symbol to say whether a candle of it is proven: when it was asked for or fetched, what is not proven, what is wrong,
-- and what is final. A time in which its market was closed was asked for. missing_by_day has when it was not received all the same.
CREATE OR REPLACE VIEW ticks_platform.symbol_proof AS
WITH wanted AS NOT MATERIALIZED (
    SELECT known.symbol, feed, coalesce(closed.since, wanted_from) AS begins_at, coalesce(wanted_until, 'infinity') AS ends_at
    FROM ticks_platform.feed_symbol AS known
    JOIN ticks_platform.feed USING (feed)
    -- What was asked for while the market was closed is whole from its last closing on.
    LEFT JOIN LATERAL (
        SELECT max(closes_at) AS since
        FROM ticks_platform.market_session AS session
        WHERE session.calendar = known.calendar AND opens_at <= wanted_from AND opens_at > wanted_from - INTERVAL '14 days'
        HAVING max(closes_at) <= wanted_from
    ) AS closed ON true
    WHERE feed.candles
),
time AS NOT MATERIALIZED (
    SELECT symbol, feed, begins_at, ends_at FROM wanted
    UNION ALL
    SELECT symbol, feed, begins_at, ends_at
    FROM ticks_platform.feed_repair AS fetched
    JOIN ticks_platform.feed USING (feed)
    WHERE candles AND kind IN ('trades', 'true_up_trades') AND state IN ('loaded', 'done') AND NOT EXISTS (
        SELECT
        FROM ticks_platform.feed_symbol AS known
        WHERE known.feed = fetched.feed AND known.symbol = fetched.symbol
            AND wanted_from <= fetched.begins_at AND coalesce(wanted_until, 'infinity') >= fetched.ends_at
    )
),
of_feed AS MATERIALIZED (
    SELECT
        feed,
        coalesce(counted.hours - coalesce(proven.spans, '{}'), '{}') AS unproven,
        coalesce(wrong.hours, '{}') AS wrong,
        trues_up IS NOT false AS trues_up,
        is_settled
    FROM ticks_platform.feed
    JOIN ticks_platform.loaded_until USING (feed)
    LEFT JOIN (
        SELECT feed, range_agg(tstzrange(hour, hour + INTERVAL '1 hour')) AS hours
        FROM ticks_platform.feed_hour
        WHERE destination = 'stocks_real_time' AND isfinite(hour)
        GROUP BY feed
    ) AS counted USING (feed)
    LEFT JOIN (
        SELECT feed, range_agg(tstzrange(begins_at, ends_at)) AS spans FROM ticks_platform.proven_times GROUP BY feed
    ) AS proven USING (feed)
    LEFT JOIN (
        SELECT feed, range_agg(tstzrange(hour, hour + INTERVAL '1 hour')) AS hours FROM ticks_platform.wrong_hour GROUP BY feed
    ) AS wrong USING (feed)
),
by_symbol AS NOT MATERIALIZED (
    SELECT
        symbol, range_agg(spans) AS received, range_agg(unproven) AS unproven, range_agg(wrong) AS wrong, bool_or(trues_up) AS trues_up,
        bool_and(is_settled) AS is_settled
    FROM (SELECT symbol, feed, range_agg(tstzrange(begins_at, ends_at)) AS spans FROM time GROUP BY symbol, feed) AS times
    JOIN of_feed USING (feed)
    GROUP BY symbol
),
-- Days whose true-up is done, with the time between two of them in which the market was closed; less the minutes that still differ.
trued_up AS NOT MATERIALIZED (
    SELECT symbol, range_agg(spans) AS trued_up
    FROM (
        SELECT
            symbol,
            tstzmultirange(tstzrange(
                CASE WHEN last_end < begins_at AND NOT EXISTS (
                    SELECT
                    FROM ticks_platform.symbol_calendar AS known
                    JOIN ticks_platform.market_session AS session USING (calendar)
                    WHERE known.symbol = day.symbol AND known.feed = day.feed AND opens_at >= last_end AND opens_at < begins_at
                ) THEN last_end ELSE begins_at END,
                ends_at
            )) - CASE WHEN still_differing > 0
                THEN coalesce((SELECT range_agg(tstzrange(minute, minute + INTERVAL '1 minute')) FROM unnest(differed) AS minute), '{}')
                ELSE '{}'
            END AS spans
        FROM (
            SELECT *, lag(ends_at) OVER (PARTITION BY feed, symbol ORDER BY begins_at) AS last_end
            FROM ticks_platform.feed_true_up
            WHERE state = 'done'
        ) AS day
    ) AS days
    GROUP BY symbol
)
SELECT symbol, received, unproven, wrong, coalesce(trued_up, '{}') AS trued_up, trues_up, is_settled
FROM by_symbol
LEFT JOIN trued_up USING (symbol);

COMMENT ON VIEW ticks_platform.symbol_proof IS 'When a symbol was asked for or fetched, and what of its candles is proven, wrong or final.';
COMMENT ON COLUMN ticks_platform.symbol_proof.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN ticks_platform.symbol_proof.received IS 'When it was asked for, or fetched later.';
COMMENT ON COLUMN ticks_platform.symbol_proof.unproven IS 'What is not proven, of hours in which ticks were counted.';
COMMENT ON COLUMN ticks_platform.symbol_proof.wrong IS 'Hours whose ticks are not those that were loaded.';
COMMENT ON COLUMN ticks_platform.symbol_proof.trued_up IS 'What the true-up has settled.';
COMMENT ON COLUMN ticks_platform.symbol_proof.trues_up IS 'Whether its days are trued up.';
COMMENT ON COLUMN ticks_platform.symbol_proof.is_settled IS 'Whether nothing waits in a journal that no living owner has.';

-- For each symbol and UTC day with such a time: when it was not received, and that was not repaired with ticks. Of feeds whose ticks make candles.
CREATE OR REPLACE VIEW ticks_platform.missing_by_day AS
SELECT symbol, day, range_agg(tstzrange(begins_at, coalesce(ends_at, 'infinity'))) AS missing
FROM ticks_platform.feed_gap
JOIN ticks_platform.feed USING (feed)
CROSS JOIN LATERAL generate_series(
    -- Not steps of '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
    time_bucket(INTERVAL '1 day', begins_at), coalesce(ends_at, now()), INTERVAL '24 hours'
) AS day
-- A gap that bars closed lacks its ticks.
WHERE candles AND (state <> 'repaired' OR detail LIKE '% minute bars %')
GROUP BY symbol, day;

COMMENT ON VIEW ticks_platform.missing_by_day IS 'When a symbol was not received, by UTC day, and that was not repaired with ticks.';
COMMENT ON COLUMN ticks_platform.missing_by_day.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN ticks_platform.missing_by_day.day IS 'Begin of a UTC day.';
COMMENT ON COLUMN ticks_platform.missing_by_day.missing IS 'Gaps that reach into the day.';

-- What the conditions of trades mean, by provider: the rows of trade_condition.csv, which the decoders read too. Rows are only added.
-- A condition's rule on a day in New York is the row with the newest valid_from until then; of several, the one of the greatest version. A
-- condition that is in no row restricts nothing.
CREATE TABLE IF NOT EXISTS ticks_platform.trade_condition (
    -- Version of the rules that it came with.
    rules_version       smallint  NOT NULL,
    -- The first day on which it holds.
    valid_from          date      NOT NULL,
    -- As in feeds.yaml.
    provider            text      NOT NULL,
    -- As in stocks_real_time.conditions.
    condition           smallint  NOT NULL,
    -- The provider's name for it.
    name                text      NOT NULL,
    -- The letters of the tapes for it, with the tapes where they differ.
    letters             text      NOT NULL,
    -- Whether a trade with it may set the open and the close of a candle.
    updates_open_close  boolean   NOT NULL,
    -- Whether it may set high and low.
    updates_high_low    boolean   NOT NULL,
    -- Whether it counts in the volume.
    updates_volume      boolean   NOT NULL,
    PRIMARY KEY (provider, condition, rules_version)
);

INSERT INTO ticks_platform.trade_condition
SELECT * FROM json_populate_recordset(NULL::ticks_platform.trade_condition, '[{"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "0", "name": "Regular Sale", "letters": "@", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "1", "name": "Acquisition", "letters": "A (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "2", "name": "Average Price Trade", "letters": "B (CTA), W (UTP, FINRA)", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "3", "name": "Automatic Execution", "letters": "E (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "4", "name": "Bunched Trade", "letters": "B (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "5", "name": "Bunched Sold Trade", "letters": "G (UTP)", "updates_open_close": "false", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "6", "name": "CAP Election", "letters": "I (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "7", "name": "Cash Sale", "letters": "C", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "8", "name": "Closing Prints", "letters": "6 (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "9", "name": "Cross Trade", "letters": "X (CTA, UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "10", "name": "Derivatively Priced", "letters": "4 (CTA, UTP)", "updates_open_close": "false", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "11", "name": "Distribution", "letters": "D (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "12", "name": "Form T/Extended Hours", "letters": "T", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "13", "name": "Extended Hours (Sold Out Of Sequence)", "letters": "U", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "14", "name": "Intermarket Sweep", "letters": "F (CTA, UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "15", "name": "Market Center Official Close", "letters": "M (CTA, UTP)", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "false"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "16", "name": "Market Center Official Open", "letters": "Q (CTA, UTP)", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "false"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "17", "name": "Market Center Opening Trade", "letters": "O (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "18", "name": "Market Center Reopening Trade", "letters": "5 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "19", "name": "Market Center Closing Trade", "letters": "6 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "20", "name": "Next Day", "letters": "N", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "21", "name": "Price Variation Trade", "letters": "H (CTA, UTP)", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "22", "name": "Prior Reference Price", "letters": "P", "updates_open_close": "false", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "23", "name": "Rule 155 Trade (AMEX)", "letters": "K (CTA, UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "24", "name": "Rule 127 (NYSE Only)", "letters": "K (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "25", "name": "Opening Prints", "letters": "O (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "27", "name": "Stopped Stock (Regular Trade)", "letters": "1 (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "28", "name": "Re-Opening Prints", "letters": "5 (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "29", "name": "Seller", "letters": "R", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "30", "name": "Sold Last", "letters": "L (CTA, UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "31", "name": "Sold Last and Stopped Stock", "letters": "2 (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "32", "name": "Sold (Out Of Sequence)", "letters": "Z", "updates_open_close": "false", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "33", "name": "Sold (Out of Sequence) and Stopped Stock", "letters": "3 (UTP)", "updates_open_close": "false", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "34", "name": "Split Trade", "letters": "S (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "35", "name": "Stock Option", "letters": "V (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "36", "name": "Yellow Flag Regular Trade", "letters": "Y (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "37", "name": "Odd Lot Trade", "letters": "I", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "38", "name": "Corrected Consolidated Close (per listing market)", "letters": "9 (CTA, UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "false"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "41", "name": "Trade Thru Exempt", "letters": "1 (CTA), X (UTP)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "52", "name": "Contingent Trade", "letters": "V (CTA, UTP)", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "53", "name": "Qualified Contingent Trade", "letters": "7 (CTA, UTP)", "updates_open_close": "false", "updates_high_low": "false", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "55", "name": "Opening Reopening Trade Detail", "letters": "G (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "57", "name": "Short Sale Restriction Activated", "letters": "A (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "58", "name": "Short Sale Restriction Continued", "letters": "C (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "59", "name": "Short Sale Restriction Deactivated", "letters": "D (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "60", "name": "Short Sale Restriction In Effect", "letters": "E (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "62", "name": "Financial Status - Bankrupt", "letters": "1 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "63", "name": "Financial Status - Deficient", "letters": "2 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "64", "name": "Financial Status - Delinquent", "letters": "3 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "65", "name": "Financial Status - Bankrupt and Deficient", "letters": "4 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "66", "name": "Financial Status - Bankrupt and Delinquent", "letters": "5 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "67", "name": "Financial Status - Deficient and Delinquent", "letters": "6 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "68", "name": "Financial Status - Deficient, Delinquent and Bankrupt", "letters": "7 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "69", "name": "Financial Status - Liquidation", "letters": "A (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "70", "name": "Financial Status - Creations Suspended", "letters": "8 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}, {"rules_version": "1", "valid_from": "1990-01-01", "provider": "polygon", "condition": "71", "name": "Financial Status - Redemptions Suspended", "letters": "9 (CTA)", "updates_open_close": "true", "updates_high_low": "true", "updates_volume": "true"}]')
ON CONFLICT DO NOTHING;

-- What the providers' reference APIs answered of the symbols in feeds.yaml, and when they are to be asked again.
CREATE TABLE IF NOT EXISTS ticks_platform.instrument_reference (
    -- The feed whose provider was asked.
    feed         text         NOT NULL,
    -- As the ticks have it.
    symbol       text         NOT NULL,
    -- What was asked for: the provider's spelling, as in feeds.yaml.
    asked        text         NOT NULL,
    -- As in instrument; NULL where the provider does not tell.
    asset_class  text,
    -- As in instrument.
    mic          text,
    -- As in instrument.
    currency     text,
    -- Units of a round lot when it answered.
    round_lot    double precision,
    -- Whether the price may be zero or negative; NULL where the asset class decides.
    may_be_negative  boolean,
    -- When it answered; NULL if it has not.
    answered_at  timestamptz,
    -- Why there is no newer answer; NULL after one.
    problem      text,
    -- When it is asked again.
    ask_after    timestamptz  NOT NULL,
    PRIMARY KEY (feed, symbol)
);

-- When the provider was last asked for splits and dividends of the symbols in feeds.yaml.
CREATE TABLE IF NOT EXISTS ticks_platform.corporate_action_check (
    -- The feed whose provider was asked.
    feed        text         NOT NULL,
    -- As the ticks have it.
    symbol      text         NOT NULL,
    -- When it answered; NULL if it has not.
    checked_at  timestamptz,
    -- When it was asked.
    asked_at    timestamptz  NOT NULL,
    -- Why there is no newer answer; NULL after one.
    problem     text,
    PRIMARY KEY (feed, symbol)
);

-- What prices before a split or dividend are multiplied by, so that they compare with prices of today: one row per symbol, kind and date, of
-- actions that are in force and have been executed. An own row (source `manual`) stands for all that a provider says of the same symbol,
-- kind and date.
-- Splits are computed from their ratios: the provider's cumulative factors are rounded to six decimals. Dividends are the provider's: the
-- quotient of two cumulative factors that follow each other is the factor of one dividend.
CREATE OR REPLACE VIEW ticks_platform.price_adjustment AS
WITH known AS NOT MATERIALIZED (
    SELECT DISTINCT ON (symbol) symbol, calendar
    FROM ticks_platform.symbol_calendar
    ORDER BY symbol, calendar = 'always', feed
),
in_force AS (
    SELECT symbol, kind, execution_date, source, split_from, split_to, price_factor,
        CASE WHEN kind = 'dividend' AND historical_adjustment_factor > 0 AND historical_adjustment_factor < 'Infinity' THEN historical_adjustment_factor END AS cumulative,
        bool_or(source = 'manual') OVER (PARTITION BY symbol, kind, execution_date) AND source <> 'manual' AS replaced
    FROM corporate_action
    WHERE superseded_at IS NULL
),
-- Several dividends of one day: the least factor contains the others.
of_date AS (
    SELECT symbol, kind, execution_date, source,
        ticks_platform.product(split_from) FILTER (WHERE kind = 'split') AS split_from,
        ticks_platform.product(split_to) FILTER (WHERE kind = 'split') AS split_to,
        ticks_platform.product(price_factor) FILTER (WHERE price_factor IS NOT NULL) AS price_factor,
        min(cumulative) AS cumulative, bool_or(replaced) AS replaced
    FROM in_force
    GROUP BY symbol, kind, execution_date, source
),
single AS (
    SELECT symbol, kind, execution_date, split_from, split_to, replaced,
        coalesce(
            cumulative / coalesce(
                lead(cumulative) OVER (PARTITION BY symbol, kind, source, cumulative IS NULL ORDER BY execution_date), 1
            ),
            price_factor,
            1
        ) AS dividend_factor
    FROM of_date
),
dated AS (
    SELECT symbol, kind, execution_date,
        ticks_platform.product(coalesce(split_from, 1)) AS split_from,
        ticks_platform.product(coalesce(split_to, 1)) AS split_to,
        ticks_platform.product(dividend_factor) AS dividend_factor
    FROM single
    WHERE NOT replaced
    GROUP BY symbol, kind, execution_date
),
begun AS (
    SELECT dated.*,
        -- The night before: as the first session from that date on begins. Without a calendar, at midnight UTC.
        coalesce(session.begins_at, execution_date::timestamp AT TIME ZONE 'UTC') AS begins_at
    FROM dated
    LEFT JOIN known USING (symbol)
    LEFT JOIN LATERAL (
        SELECT min(coalesce(day_begins_at, opens_at)) AS begins_at
        FROM ticks_platform.market_session
        -- Decades of dividends are before the first session that is known.
        WHERE dated.execution_date >= (SELECT min(first.session) - 12 FROM ticks_platform.market_session AS first)
            AND market_session.calendar = known.calendar AND market_session.session >= dated.execution_date
            AND opens_at >= dated.execution_date::timestamp AT TIME ZONE 'UTC' - INTERVAL '2 days'
            AND opens_at < dated.execution_date::timestamp AT TIME ZONE 'UTC' + INTERVAL '12 days'
    ) AS session ON true
)
SELECT
    symbol,
    kind,
    execution_date,
    begins_at,
    CASE kind
        WHEN 'split' THEN ticks_platform.product(split_from) OVER newer / ticks_platform.product(split_to) OVER newer
        ELSE ticks_platform.product(dividend_factor) OVER newer
    END AS factor
FROM begun
WHERE begins_at <= now()
WINDOW newer AS (PARTITION BY symbol, kind ORDER BY execution_date DESC);

COMMENT ON VIEW ticks_platform.price_adjustment IS 'Cumulative factors of splits and dividends.';
COMMENT ON COLUMN ticks_platform.price_adjustment.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN ticks_platform.price_adjustment.kind IS 'split or dividend.';
COMMENT ON COLUMN ticks_platform.price_adjustment.execution_date IS 'First day that trades with it.';
COMMENT ON COLUMN ticks_platform.price_adjustment.begins_at IS 'When that day begins on the symbol''s exchange.';
COMMENT ON COLUMN ticks_platform.price_adjustment.factor IS 'What prices before begins_at, and from the action of the same kind before it on, are multiplied by: newer actions of this kind included.';

-- The adoptions of tables of others. Of ticks of the feed manual up to `last_time`, it is not known when they arrived.
CREATE TABLE IF NOT EXISTS ticks_platform.adoption (
    -- When it was done.
    adopted_at  timestamptz  PRIMARY KEY DEFAULT clock_timestamp(),
    -- How many ticks were kept; NULL, as the times, if it was of other tables.
    ticks       bigint,
    -- Event time of the first of them.
    first_time  timestamptz,
    -- Event time of the last of them.
    last_time   timestamptz,
    -- What was done, in words.
    steps       text[]       NOT NULL
);

-- The job of the notes' retention: deletes what the platform has noted of its feeds once it is older than the interval of its kind in
-- config. What has no interval stays. The account still balances, since deleted rejected events are counted in feed.rejected_deleted.
-- Hours in feed_hour stay: those of dropped chunks are what keeps a late tick from replacing the candles that outlived them.
CREATE OR REPLACE PROCEDURE ticks_platform.delete_old_notes(job_id integer, config jsonb)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    -- NULL where nothing is deleted.
    sessions timestamptz := now() - (config ->> 'feed_session')::interval;
    gaps timestamptz := now() - (config ->> 'settled_gaps')::interval;
    repairs timestamptz := now() - (config ->> 'finished_repairs')::interval;
    rejected timestamptz := now() - (config ->> 'rejected_events')::interval;
BEGIN
    -- The newest of each feed stay however old they are: they say how it is.
    DELETE FROM ticks_platform.feed_session AS session
    USING (
        SELECT feed.feed, (
            SELECT at FROM ticks_platform.feed_session AS newest
            WHERE newest.feed = feed.feed ORDER BY at DESC OFFSET 199 LIMIT 1
        ) AS since
        FROM ticks_platform.feed AS feed
    ) AS kept
    WHERE session.feed = kept.feed AND session.at < kept.since AND session.at < sessions;

    -- While there are bars in a gap, one_minute_candle_filled shows them because of it.
    DELETE FROM ticks_platform.feed_gap AS gap
    WHERE state <> 'open' AND ends_at < gaps AND (state = 'ignored' OR NOT EXISTS (
        SELECT FROM stock_aggregates AS bars
        WHERE bars.feed = gap.feed AND bars.symbol = gap.symbol
            AND bars.start_time > gap.begins_at - INTERVAL '1 minute' AND bars.start_time < gap.ends_at
    ));

    -- A gap that was repaired with trades is known as such by its repair.
    DELETE FROM ticks_platform.feed_repair AS repair
    WHERE state IN ('done', 'failed') AND ends_at < repairs AND changed_at < repairs
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = repair.feed AND gap.symbol = repair.symbol
                AND coalesce(gap.ends_at, 'infinity') > repair.begins_at AND gap.begins_at < repair.ends_at
        )
        AND NOT EXISTS (SELECT FROM ticks_platform.feed_repair_request AS request WHERE request.repair_id = repair.repair_id);

    WITH deleted AS (DELETE FROM ticks_platform.rejected_event WHERE received_at < rejected RETURNING feed)
    UPDATE ticks_platform.feed AS known SET rejected_deleted = rejected_deleted + number
    FROM (SELECT feed, count(*) AS number FROM deleted GROUP BY feed) AS counted
    WHERE known.feed = counted.feed;
END
$$;

-- Checks the configuration of the job of the notes' retention, when it is made and when it is altered by hand.
CREATE OR REPLACE FUNCTION ticks_platform.check_delete_old_notes(config jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM jsonb_each_text(config) AS term WHERE key <> 'hypertable' AND coalesce(value::interval <= INTERVAL '0', true)
    ) THEN
        RAISE EXCEPTION 'a job that deletes old notes needs intervals above zero, not %', config;
    END IF;
END
$$;

-- The job that deletes old notes, without its intervals: these are altered.
SELECT add_job(
    'ticks_platform.delete_old_notes',
    '2 days 0.000000 seconds'::interval::interval,
    config => jsonb_build_object('hypertable', 'feed_notes'),
    check_config => 'ticks_platform.check_delete_old_notes'::regproc,
    fixed_schedule => false
);

-- Gives a job its declared terms and removes all others from its configuration. What the job works on stays.
SELECT alter_job(
    job_id,
    schedule_interval => '2 days 0.000000 seconds'::interval::interval,
    retry_period => '0 days 3600.000000 seconds'::interval::interval,
    max_runtime => '0 days 0.000000 seconds'::interval::interval,
    max_retries =>  -1,
    scheduled => true,
    config => (
        SELECT jsonb_object_agg(key, value)
        FROM (
            SELECT key, value FROM jsonb_each(config) WHERE key IN ('hypertable_id', 'mat_hypertable_id', 'hypertable')
            UNION ALL
            SELECT key, to_jsonb(value) FROM unnest(ARRAY['feed_session','settled_gaps','finished_repairs','rejected_events']::text[], ARRAY['30 days 0.000000 seconds'::interval,'60 days 0.000000 seconds'::interval,'50 days 0.000000 seconds'::interval,'40 days 0.000000 seconds'::interval]::interval[]) AS term (key, value)
        ) AS wanted
    )
)
FROM timescaledb_information.jobs
WHERE job_id = (SELECT max(job_id) FROM timescaledb_information.jobs);

-- Candles of one minute, from the ticks. Buckets are UTC.
-- Open and close are ordered by tick_order: many ticks share a time stamp, and first(price, time) would pick any of them.
-- Each value is made of the ticks that may change it, by the bits of stocks_real_time.updates; the masks ask for one bit, and for 8
-- (cancelled) and 16 (secondary) to be clear. Most ticks have NULL, which IS NULL finds a fifth faster than coalesce().
-- A row by hand may have no price, as in the tutorial: it changes day_volume and tick_count alone.
-- A minute has four prices, or none if no tick of it may open or close; aggregates that are written alike are computed once.
-- Trades have no day_volume, and first() and last() are the dearest aggregates: so last() is not given such ticks.
-- The last four columns let checks work without reading the ticks.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_minute_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 minute', time) AS bucket,
    symbol,
    first(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) AS open,
    CASE WHEN first(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) IS NOT NULL
        THEN max(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) END AS high,
    CASE WHEN first(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) IS NOT NULL
        THEN min(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) END AS low,
    last(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) AS close,
    last(day_volume, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE day_volume IS NOT NULL AND (updates IS NULL OR updates & 28 = 4)) AS day_volume,
    sum(size) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS volume,
    count(*) AS tick_count,
    CASE WHEN first(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) IS NOT NULL
        THEN count(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) ELSE 0 END AS price_count,
    min(time) AS first_time,
    max(time) AS last_time,
    min(day_volume) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS day_volume_low,
    max(day_volume) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS day_volume_high
FROM stocks_real_time
GROUP BY time_bucket(INTERVAL '1 minute', time), symbol
WITH NO DATA;

COMMENT ON COLUMN one_minute_candle.bucket IS 'Begin of the minute, UTC.';
COMMENT ON COLUMN one_minute_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_minute_candle.open IS 'Price of the first tick of the minute that may set it; empty if none may.';
COMMENT ON COLUMN one_minute_candle.high IS 'Highest price of the minute, of the ticks that may set it; empty if open is.';
COMMENT ON COLUMN one_minute_candle.low IS 'Lowest price of the minute, of the ticks that may set it; empty if open is.';
COMMENT ON COLUMN one_minute_candle.close IS 'Price of the last tick of the minute that may set it; empty if open is.';
COMMENT ON COLUMN one_minute_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the minute that has it and counts in it.';
COMMENT ON COLUMN one_minute_candle.volume IS 'Sum of the trade sizes that count; empty if none counts, or where the provider sends no sizes.';
COMMENT ON COLUMN one_minute_candle.tick_count IS 'Number of ticks in the minute, whatever they may change.';
COMMENT ON COLUMN one_minute_candle.price_count IS 'Number of ticks that formed prices: those that may set high and low, or 0 without prices.';
COMMENT ON COLUMN one_minute_candle.first_time IS 'Event time of the first tick.';
COMMENT ON COLUMN one_minute_candle.last_time IS 'Event time of the last tick.';
COMMENT ON COLUMN one_minute_candle.day_volume_low IS 'Lowest day_volume of the minute.';
COMMENT ON COLUMN one_minute_candle.day_volume_high IS 'Highest day_volume of the minute.';

-- The volume of each minute: the sum of the trade sizes where the feed sends them. Where it sends only the volume of the day so far,
-- the growth of that since the previous candle (last minus first within a minute would miss what was traded between two ticks of
-- different minutes). Empty where it sends neither, or no trade of the minute counts.
-- A session begins where the volume of the day falls below half of its previous value. The clock cannot tell, since neither the UTC
-- day nor any one time zone is the session of every symbol. Smaller falls are corrections: the volume is zero until the previous
-- height is passed, so it is never negative, and the minutes of a session add up to the volume of its day.
CREATE OR REPLACE VIEW one_minute_candle_volume AS
SELECT
    bucket,
    symbol,
    coalesce(
        volume,
        greatest(
            day_volume_high - coalesce(
                max(day_volume_high) OVER (
                    PARTITION BY symbol, session ORDER BY bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ),
                0
            ),
            0
        )::double precision * CASE WHEN day_volume_high IS NOT NULL THEN 1 END
    ) AS volume,
    volume IS NULL AND day_volume_high IS NOT NULL AS derived
FROM (
    SELECT *, count(*) FILTER (WHERE day_volume_high < previous / 2.0) OVER (PARTITION BY symbol ORDER BY bucket) AS session
    FROM (
        SELECT bucket, symbol, volume, day_volume_high,
            -- Candles without a volume of the day are a partition of their own, so the previous candle is one that has it.
            lag(day_volume_high) OVER (PARTITION BY symbol, day_volume_high IS NULL ORDER BY bucket) AS previous
        FROM one_minute_candle
    ) AS candles
) AS sessions;

COMMENT ON VIEW one_minute_candle_volume IS 'Volume of each minute, from trade sizes or else from the volume of the day.';
COMMENT ON COLUMN one_minute_candle_volume.bucket IS 'Begin of the minute, UTC.';
COMMENT ON COLUMN one_minute_candle_volume.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_minute_candle_volume.volume IS 'Volume of the minute; empty if no trade counts, or the provider sends neither sizes nor the volume of the day.';
COMMENT ON COLUMN one_minute_candle_volume.derived IS 'Whether the volume is derived from the volume of the day.';

-- The candles of one minute, with the provider's bars in the minutes of a gap, unless the gap was repaired with ticks. `source` tells
-- which is which; a bar is never stored as a candle. Bars of feeds whose ticks make no candles fill nothing.
CREATE OR REPLACE VIEW one_minute_candle_filled AS
WITH bar AS NOT MATERIALIZED (
    SELECT DISTINCT ON (symbol, start_time) *
    FROM stock_aggregates AS bars
    WHERE end_time = start_time + INTERVAL '1 minute'
        AND feed NOT IN (SELECT feed.feed FROM ticks_platform.feed WHERE NOT candles)
        AND EXISTS (
            SELECT FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = bars.feed AND gap.symbol = bars.symbol
                AND gap.begins_at < bars.start_time + INTERVAL '1 minute'
                AND coalesce(gap.ends_at, 'infinity') > bars.start_time
                AND gap.state <> 'ignored'
                AND NOT (gap.state = 'repaired' AND EXISTS (
                    SELECT FROM ticks_platform.feed_repair AS repair
                    WHERE repair.feed = gap.feed AND repair.symbol = gap.symbol AND repair.kind = 'trades'
                        AND repair.state IN ('loaded', 'done')
                        AND repair.begins_at < gap.ends_at AND repair.ends_at > gap.begins_at))
        )
    ORDER BY symbol, start_time, received_at DESC
)
SELECT bucket, symbol, open, high, low, close, volume, tick_count, 'ticks' AS source
FROM one_minute_candle AS candle
WHERE NOT EXISTS (SELECT FROM bar WHERE bar.symbol = candle.symbol AND bar.start_time = candle.bucket)
UNION ALL
SELECT start_time, symbol, open_price, high_price, low_price, close_price, volume, NULL, 'bars'
FROM bar;

COMMENT ON VIEW one_minute_candle_filled IS 'Candles of one minute, with the provider''s bars where a gap in the ticks is.';
COMMENT ON COLUMN one_minute_candle_filled.bucket IS 'Begin of the minute, UTC.';
COMMENT ON COLUMN one_minute_candle_filled.volume IS 'Sum of the trade sizes, or the bar''s volume; empty where the provider sends neither.';
COMMENT ON COLUMN one_minute_candle_filled.tick_count IS 'Number of ticks; empty for a bar.';
COMMENT ON COLUMN one_minute_candle_filled.source IS 'ticks: our candle, of all ticks. bars: the provider''s bar, where ticks are missing.';

-- The search_path that the platform's functions have, for procedures: one that commits cannot have such a setting.
CREATE OR REPLACE FUNCTION ticks_platform.own_search_path()
RETURNS text
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT current_setting('search_path')
$$;

-- The chunks of a hypertable that end before a time and hold all rows that were ever counted for them. A chunk that was created after
-- rows of its time had been counted is left out: retention dropped the first one, and a late row brought it back with nothing else
-- in it.
CREATE OR REPLACE FUNCTION ticks_platform.droppable_chunks(hypertable text, before timestamptz)
RETURNS TABLE (begins_at timestamptz, ends_at timestamptz)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT range_start, range_end
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = current_schema() AND hypertable_name = droppable_chunks.hypertable
        AND range_end <= droppable_chunks.before
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_hour
            WHERE destination = droppable_chunks.hypertable AND isfinite(hour)
                AND hour + INTERVAL '1 hour' > range_start AND hour < range_end
                -- By name, for releases whose view does not have it.
                AND counted_since < (to_jsonb(chunks) ->> 'chunk_creation_time')::timestamptz
        )
    ORDER BY range_start
$$;

-- Where the continuous aggregates directly on a hypertable are behind in its chunks that end before a time, as TimescaleDB records it:
-- one row for each aggregate and chunk.
CREATE OR REPLACE FUNCTION ticks_platform.candles_behind(hypertable text, before timestamptz)
RETURNS TABLE (candle text, begins_at timestamptz, ends_at timestamptz)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    WITH aggregate AS (
        SELECT format('%I.%I', user_view_schema, user_view_name) AS name, mat_hypertable_id, raw_hypertable_id
        FROM _timescaledb_catalog.continuous_agg
        JOIN _timescaledb_catalog.hypertable ON hypertable.id = raw_hypertable_id
        WHERE schema_name = current_schema() AND table_name = candles_behind.hypertable
    ),
    pending AS (
        SELECT name, lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log
        JOIN aggregate ON materialization_id = mat_hypertable_id
        UNION ALL
        SELECT name, lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log
        JOIN aggregate ON hypertable_id = raw_hypertable_id
    )
    SELECT DISTINCT name, old.begins_at, old.ends_at
    FROM pending
    JOIN ticks_platform.droppable_chunks(candles_behind.hypertable, candles_behind.before) AS old
        ON lowest_modified_value < _timescaledb_functions.to_unix_microseconds(old.ends_at)
        AND greatest_modified_value >= _timescaledb_functions.to_unix_microseconds(old.begins_at)
    ORDER BY old.begins_at, name
$$;

-- The job of a retention policy: drops the chunks of config.hypertable that are older than config.drop_after, but not before their
-- candles are up to date. It refreshes the candles of one minute where they are behind; while any other candle is behind, nothing is
-- dropped. What it drops it notes in the account, in the same transaction.
-- A procedure that commits cannot have a search_path of its own, so it sets one: at its begin, and after each commit, which ends it.
CREATE OR REPLACE PROCEDURE ticks_platform.drop_old_chunks(job_id integer, config jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    callers_path text := pg_catalog.current_setting('search_path');
    hypertable text;
    cutoff timestamptz;
    begins timestamptz[];
    ends timestamptz[];
    behind record;
    materialization regclass;
    loaded bigint;
    materialized bigint;
    kept record;
BEGIN
    PERFORM pg_catalog.set_config('search_path', ticks_platform.own_search_path(), true);
    hypertable := config ->> 'hypertable';
    cutoff := now() - (config ->> 'drop_after')::interval;

    -- Arrays and not a loop over the query: a refresh commits.
    SELECT array_agg(begins_at), array_agg(ends_at) INTO begins, ends
    FROM ticks_platform.candles_behind(hypertable, cutoff)
    WHERE candle = format('%I.one_minute_candle', current_schema());
    FOR number IN 1 .. coalesce(cardinality(begins), 0) LOOP
        CALL refresh_continuous_aggregate('one_minute_candle', begins[number], ends[number]);
        -- Some releases record the refresh in a transaction of its own and leave the candles to that of the caller.
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', ticks_platform.own_search_path(), true);
    END LOOP;

    SELECT string_agg(DISTINCT candle, ', ') AS names, min(begins_at) AS begins_at, max(ends_at) AS ends_at INTO behind
    FROM ticks_platform.candles_behind(hypertable, cutoff);
    IF behind.names IS NOT NULL THEN
        RAISE EXCEPTION 'nothing of % is dropped: % is not up to its chunks from % to %',
            hypertable, behind.names, behind.begins_at, behind.ends_at
            USING HINT = 'Refresh it there, or drop it; the policy then continues.';
    END IF;

    -- The database's own record has been wrong in several releases, so the ticks themselves are counted.
    IF hypertable = 'stocks_real_time' THEN
        SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
        INTO STRICT materialization
        FROM timescaledb_information.continuous_aggregates
        WHERE view_schema = current_schema() AND view_name = 'one_minute_candle';
        FOR behind IN SELECT * FROM ticks_platform.droppable_chunks(hypertable, cutoff) LOOP
            -- A tick that arrives now would be dropped without having been counted: it waits, then finds no chunk or makes a new one.
            EXECUTE (
                SELECT format('LOCK TABLE %I.%I IN SHARE MODE', chunk_schema, chunk_name)
                FROM timescaledb_information.chunks
                WHERE hypertable_schema = current_schema() AND hypertable_name = hypertable AND range_start = behind.begins_at
            );
            SELECT count(*) INTO loaded FROM stocks_real_time WHERE time >= behind.begins_at AND time < behind.ends_at;
            EXECUTE format('SELECT coalesce(sum(tick_count), 0) FROM %s WHERE bucket >= $1 AND bucket < $2', materialization)
            INTO materialized USING behind.begins_at, behind.ends_at;
            IF loaded <> materialized THEN
                RAISE EXCEPTION 'nothing of % is dropped: one_minute_candle has % of the % ticks from % to %',
                    hypertable, materialized, loaded, behind.begins_at, behind.ends_at
                    USING HINT = format(
                        'CALL refresh_continuous_aggregate(''one_minute_candle'', %L, %L, force => true)',
                        behind.begins_at, behind.ends_at
                    );
            END IF;
            -- Nobody has counted rows by hand. So that a chunk that a later one of them brings back is known as such.
            INSERT INTO ticks_platform.feed (feed, provider, synthetic)
            SELECT 'manual', 'manual', coalesce((SELECT bool_or(synthetic) FROM ticks_platform.feed), false)
            WHERE EXISTS (
                SELECT FROM stocks_real_time WHERE time >= behind.begins_at AND time < behind.ends_at AND feed = 'manual'
            )
            ON CONFLICT (feed) DO NOTHING;
            INSERT INTO ticks_platform.feed_hour (feed, destination, hour, loaded, last_received_at, counted_since, changed_at)
            SELECT 'manual', hypertable, time_bucket(INTERVAL '1 hour', time), count(*), max(received_at), now(), now()
            FROM stocks_real_time
            WHERE time >= behind.begins_at AND time < behind.ends_at AND feed = 'manual'
            GROUP BY time_bucket(INTERVAL '1 hour', time)
            ON CONFLICT (feed, destination, hour) DO NOTHING;
        END LOOP;
    END IF;

    IF EXISTS (SELECT FROM ticks_platform.feed_hour WHERE destination = hypertable) THEN
        FOR kept IN
            SELECT chunk_schema, chunk_name, range_start, range_end, column_name
            FROM timescaledb_information.chunks
            JOIN timescaledb_information.dimensions USING (hypertable_schema, hypertable_name)
            WHERE hypertable_schema = current_schema() AND hypertable_name = hypertable AND dimension_number = 1 AND range_end <= cutoff
            ORDER BY range_start
        LOOP
            EXECUTE format('LOCK TABLE %I.%I IN SHARE MODE', kept.chunk_schema, kept.chunk_name);
            EXECUTE format(
                $query$
                WITH noted AS (
                    UPDATE ticks_platform.feed_hour AS counted
                    SET gone = gone + dropped.number,
                        -- Of what is left of an hour it is not known, until that is proven again.
                        fingerprint = CASE WHEN loaded = gone + dropped.number THEN 0 END,
                        fingerprint_version = CASE WHEN loaded = gone + dropped.number THEN fingerprint_version END
                    FROM (
                        SELECT feed, time_bucket(INTERVAL '1 hour', %1$I) AS hour, count(*) AS number
                        FROM %2$I
                        WHERE %1$I >= $1 AND %1$I < $2
                        GROUP BY 1, 2
                    ) AS dropped
                    WHERE destination = %2$L AND counted.feed = dropped.feed AND counted.hour = dropped.hour
                    RETURNING dropped.hour, dropped.number
                )
                INSERT INTO ticks_platform.feed_gone (table_name, begins_at, ends_at, rows, declared_by, reason)
                SELECT %2$L, min(hour), max(hour) + INTERVAL '1 hour', sum(number), 'retention', $3
                FROM noted
                HAVING count(*) > 0
                $query$,
                kept.column_name, hypertable
            )
            USING kept.range_start, kept.range_end, format('drop_after %s', config ->> 'drop_after');
        END LOOP;
    END IF;

    IF hypertable = 'stocks_real_time' THEN
        DELETE FROM ticks_platform.sealed_chunk WHERE ends_at <= cutoff;
    END IF;
    PERFORM drop_chunks(hypertable::regclass, older_than => cutoff);
    PERFORM pg_catalog.set_config('search_path', callers_path, true);
END
$$;

-- Checks the configuration of a retention job, when it is made and when it is altered by hand.
CREATE OR REPLACE FUNCTION ticks_platform.check_drop_old_chunks(config jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF to_regclass(config ->> 'hypertable') IS NULL OR coalesce((config ->> 'drop_after')::interval <= INTERVAL '0', true) THEN
        RAISE EXCEPTION 'a retention job needs an existing hypertable and an interval drop_after, not %', config;
    END IF;
END
$$;

-- A job of our own: add_retention_policy drops ticks even when their candles are behind.
SELECT add_job(
    'ticks_platform.drop_old_chunks',
    '0 days 43200.000000 seconds'::interval::interval,
    config => jsonb_build_object('hypertable', 'stock_quotes', 'drop_after', '35000 days 0.000000 seconds'::interval::interval),
    check_config => 'ticks_platform.check_drop_old_chunks'::regproc,
    fixed_schedule => false
);

-- Gives a job its declared terms and removes all others from its configuration. What the job works on stays.
SELECT alter_job(
    job_id,
    schedule_interval => '0 days 43200.000000 seconds'::interval::interval,
    retry_period => '0 days 3600.000000 seconds'::interval::interval,
    max_runtime => '0 days 0.000000 seconds'::interval::interval,
    max_retries =>  -1,
    scheduled => true,
    config => (
        SELECT jsonb_object_agg(key, value)
        FROM (
            SELECT key, value FROM jsonb_each(config) WHERE key IN ('hypertable_id', 'mat_hypertable_id', 'hypertable')
            UNION ALL
            SELECT key, to_jsonb(value) FROM unnest(ARRAY['drop_after']::text[], ARRAY['35000 days 0.000000 seconds'::interval]::interval[]) AS term (key, value)
        ) AS wanted
    )
)
FROM timescaledb_information.jobs
WHERE job_id = (SELECT max(job_id) FROM timescaledb_information.jobs);

-- By the name that every release has; newer ones also call it add_columnstore_policy.
SELECT add_compression_policy(
    'stocks_real_time'::regclass,
    compress_after => '7 days 0.000000 seconds'::interval::interval,
    schedule_interval => '0 days 21600.000000 seconds'::interval::interval
);

-- A job of our own: add_retention_policy drops ticks even when their candles are behind.
SELECT add_job(
    'ticks_platform.drop_old_chunks',
    '1 days 0.000000 seconds'::interval::interval,
    config => jsonb_build_object('hypertable', 'stocks_real_time', 'drop_after', '35000 days 0.000000 seconds'::interval::interval),
    check_config => 'ticks_platform.check_drop_old_chunks'::regproc,
    fixed_schedule => false
);

-- Gives a job its declared terms and removes all others from its configuration. What the job works on stays.
SELECT alter_job(
    job_id,
    schedule_interval => '1 days 0.000000 seconds'::interval::interval,
    retry_period => '0 days 3600.000000 seconds'::interval::interval,
    max_runtime => '0 days 0.000000 seconds'::interval::interval,
    max_retries =>  -1,
    scheduled => true,
    config => (
        SELECT jsonb_object_agg(key, value)
        FROM (
            SELECT key, value FROM jsonb_each(config) WHERE key IN ('hypertable_id', 'mat_hypertable_id', 'hypertable')
            UNION ALL
            SELECT key, to_jsonb(value) FROM unnest(ARRAY['drop_after']::text[], ARRAY['35000 days 0.000000 seconds'::interval]::interval[]) AS term (key, value)
        ) AS wanted
    )
)
FROM timescaledb_information.jobs
WHERE job_id = (SELECT max(job_id) FROM timescaledb_information.jobs);

-- The gaps of a symbol that lie in a time or reach into it, whatever else there is of years: those that begin in it, of the 32 before
-- those that reach into it, and what lasts. Gaps of a symbol of a feed do not overlap, so the one before would do; rows by hand may.
-- With a body that is parsed, it needs no search_path of its own, and becomes a part of the query that calls it.
CREATE OR REPLACE FUNCTION ticks_platform.gaps_within(
    of_feed text, of_symbol text, begins timestamptz, ends timestamptz
) RETURNS TABLE (begins_at timestamptz, ends_at timestamptz, cause text, state text, rows_repaired bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT gap.begins_at, gap.ends_at, gap.cause, gap.state, gap.rows_repaired
    FROM ticks_platform.feed_gap AS gap
    WHERE gap.feed = of_feed AND gap.symbol = of_symbol AND gap.begins_at >= begins AND gap.begins_at < ends
    UNION ALL
    SELECT gap.begins_at, gap.ends_at, gap.cause, gap.state, gap.rows_repaired
    FROM (
        SELECT before.*
        FROM ticks_platform.feed_gap AS before
        WHERE before.feed = of_feed AND before.symbol = of_symbol AND before.begins_at < begins
        ORDER BY before.begins_at DESC
        LIMIT 32
    ) AS gap
    WHERE gap.ends_at > begins
    UNION ALL
    SELECT gap.begins_at, gap.ends_at, gap.cause, gap.state, gap.rows_repaired
    FROM ticks_platform.feed_gap AS gap
    WHERE gap.feed = of_feed AND gap.symbol = of_symbol AND gap.begins_at < begins AND gap.ends_at IS NULL;
END;

COMMENT ON FUNCTION ticks_platform.gaps_within IS 'The gaps of a symbol of a feed that lie in a time or reach into it.';

-- When a symbol was received, of a time, whatever else there is of years: coverage that begins in it, that reaches into it from the day
-- before, that reaches into it from longer ago, of which there is little, and what lasts. Owners and connections overlap, so the one before
-- would not do.
-- With a body that is parsed, it needs no search_path of its own, and becomes a part of the query that calls it.
CREATE OR REPLACE FUNCTION ticks_platform.coverage_within(
    of_feed text, of_symbol text, begins timestamptz, ends timestamptz
) RETURNS TABLE (begins_at timestamptz, ends_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coverage.begins_at, coverage.ends_at
    FROM ticks_platform.feed_coverage AS coverage
    WHERE coverage.feed = of_feed AND coverage.symbol = of_symbol AND coverage.begins_at >= begins AND coverage.begins_at < ends
    UNION ALL
    SELECT coverage.begins_at, coverage.ends_at
    FROM ticks_platform.feed_coverage AS coverage
    WHERE coverage.feed = of_feed AND coverage.symbol = of_symbol AND coverage.begins_at >= begins - INTERVAL '24 hours'
        AND coverage.begins_at < begins AND coverage.ends_at > begins
    UNION ALL
    SELECT coverage.begins_at, coverage.ends_at
    FROM ticks_platform.feed_coverage AS coverage
    -- As the index has it that finds what is long.
    WHERE coverage.feed = of_feed AND coverage.symbol = of_symbol AND coverage.ends_at - coverage.begins_at > INTERVAL '24 hours'
        AND coverage.ends_at > begins AND coverage.begins_at < begins - INTERVAL '24 hours'
    UNION ALL
    SELECT coverage.begins_at, coverage.ends_at
    FROM ticks_platform.feed_coverage AS coverage
    -- As the index has it that finds what lasts.
    WHERE coverage.feed = of_feed AND coverage.symbol = of_symbol AND coalesce(coverage.ends_at, 'infinity') = 'infinity'
        AND coverage.begins_at < begins AND coverage.ends_at IS NULL;
END;

COMMENT ON FUNCTION ticks_platform.coverage_within IS 'When a symbol of a feed was received, of a time.';

-- When trading of a symbol was halted, in a time. A halt lasts until the next message of the symbol. If that is no resumption, or there
-- is none, one may have been missed: then the halt is known until the feed's next gap, and until a trade that forms prices, but for
-- trades within a minute, which may be reports of earlier ones. A resumption without a halt ends one that began while the feed did not
-- receive the symbol: it is known from when the feed received it again, and after the last trade.
CREATE OR REPLACE FUNCTION ticks_platform.halted_times(of_symbol text, begins timestamptz, ends timestamptz)
RETURNS TABLE (begins_at timestamptz, ends_at timestamptz, feed text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    -- Of most symbols there is none, and planning the query takes longer than this.
    IF NOT EXISTS (SELECT FROM trading_halt WHERE symbol = of_symbol AND time < ends) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH told AS MATERIALIZED (
        SELECT
            time, kind, once.feed,
            lag(kind) OVER in_order AS kind_before, lag(time) OVER in_order AS time_before,
            lead(kind) OVER in_order AS kind_after, lead(time) OVER in_order AS time_after
        FROM (SELECT DISTINCT ON (time, kind) * FROM trading_halt WHERE symbol = of_symbol ORDER BY time, kind, feed) AS once
        WINDOW in_order AS (ORDER BY time, kind DESC)
    ),
    halted AS (
        SELECT
            time AS begins_at,
            CASE WHEN kind_after = 'resume' THEN time_after ELSE least(time_after, missed.since, traded.since, ends) END AS ends_at,
            told.feed
        FROM told
        LEFT JOIN LATERAL (
            SELECT min(gap.begins_at) AS since
            FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = told.feed AND gap.symbol = of_symbol AND gap.begins_at >= told.time
        ) AS missed ON kind_after IS DISTINCT FROM 'resume'
        LEFT JOIN LATERAL (
            SELECT min(tick.time) AS since
            FROM stocks_real_time AS tick
            WHERE symbol = of_symbol AND tick.time > told.time + INTERVAL '1 minute' AND tick.time < ends
                AND (updates IS NULL OR updates & 25 = 1)
        ) AS traded ON kind_after IS DISTINCT FROM 'resume'
        WHERE kind = 'halt' AND time < ends
        UNION ALL
        SELECT greatest(missed.until, time_before, traded.until), time, told.feed
        FROM told
        CROSS JOIN LATERAL (
            SELECT max(until) AS until
            FROM (
                -- As the index has it.
                SELECT max(coalesce(gap.ends_at, 'infinity')) AS until
                FROM ticks_platform.feed_gap AS gap
                WHERE gap.feed = told.feed AND gap.symbol = of_symbol AND coalesce(gap.ends_at, 'infinity') <= told.time
                UNION ALL
                SELECT max(wanted_from)
                FROM ticks_platform.feed_symbol AS wanted
                WHERE wanted.feed = told.feed AND wanted.symbol = of_symbol AND wanted_from <= told.time
            ) AS received
        ) AS missed
        LEFT JOIN LATERAL (
            SELECT max(tick.time) AS until
            FROM stocks_real_time AS tick
            WHERE symbol = of_symbol AND tick.time >= missed.until AND tick.time < told.time AND (updates IS NULL OR updates & 25 = 1)
        ) AS traded ON true
        WHERE kind = 'resume' AND kind_before IS DISTINCT FROM 'halt' AND time > begins AND missed.until IS NOT NULL
    )
    SELECT halted.begins_at, halted.ends_at, halted.feed
    FROM halted
    WHERE halted.begins_at < ends AND halted.ends_at > begins
    ORDER BY halted.begins_at;
END
$$;

COMMENT ON FUNCTION ticks_platform.halted_times IS 'When trading of a symbol was halted, in a time, as the providers told.';

-- For each bucket of a symbol in a time: `candle` where there is one, else why there is none. A bucket is a multiple of minutes, UTC.
--   not_wanted     no feed streamed the symbol
--   not_over       it lies in the future, or has not ended
--   market_closed  no provider that streams it sends at that time: outside its hours, extended ones included
--   feed_gap       it was not received for a part of the bucket, and that has not been repaired
--   halted         trading was halted for a part of the bucket at least, as a provider told, and there was no trade
--   no_price       there were ticks, and none that may form a price: there is a candle of volume alone, or of nothing
--   no_trade       it was received for the whole bucket, and there was no trade
-- Feeds whose ticks make no candles, which are secondary, are not asked.
CREATE OR REPLACE FUNCTION ticks_platform.candle_reasons(
    of_symbol text, begins timestamptz, ends timestamptz, width interval DEFAULT '1 minute'
) RETURNS TABLE (bucket timestamptz, reason text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    WITH asked AS MATERIALIZED (
        SELECT begin, begin + length AS until
        FROM (SELECT make_interval(secs => extract(epoch FROM width)::double precision) AS length) AS exact
        -- Not '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
        CROSS JOIN LATERAL generate_series(time_bucket(width, begins), ends - INTERVAL '1 microsecond', length) AS series (begin)
    ),
    candle AS MATERIALIZED (
        SELECT time_bucket(width, known.bucket) AS begin, bool_or(open IS NOT NULL) AS has_prices
        FROM one_minute_candle AS known
        WHERE known.symbol = of_symbol AND known.bucket >= time_bucket(width, begins) AND known.bucket < ends + width
        GROUP BY time_bucket(width, known.bucket)
    ),
    wanted AS MATERIALIZED (
        SELECT feed, wanted_from, coalesce(wanted_until, 'infinity') AS wanted_until, calendar
        FROM ticks_platform.feed_symbol AS known
        JOIN ticks_platform.feed USING (feed)
        WHERE feed.candles AND known.symbol = of_symbol AND wanted_from < ends + width AND coalesce(wanted_until, 'infinity') > begins - width
    ),
    -- No session is longer than a week.
    session AS MATERIALIZED (
        SELECT calendar, opens_at, closes_at
        FROM ticks_platform.market_session AS known
        WHERE calendar IN (SELECT calendar FROM wanted)
            AND opens_at > begins - width - INTERVAL '7 days' AND opens_at < ends + width AND closes_at > begins - width
        UNION ALL
        SELECT 'always', '-infinity', 'infinity'
    ),
    gap AS MATERIALIZED (
        SELECT once.feed, begins_at, coalesce(ends_at, 'infinity') AS ends_at
        FROM (SELECT DISTINCT feed FROM wanted) AS once
        CROSS JOIN LATERAL ticks_platform.gaps_within(once.feed, of_symbol, begins - width, ends + width) AS known
        WHERE state <> 'repaired'
        UNION ALL
        -- An owner that is presumed dead: the end of its coverage is not recorded yet.
        SELECT feed, heartbeat_at, 'infinity'
        FROM ticks_platform.feed_lease
        WHERE feed IN (SELECT feed FROM wanted) AND released_at IS NULL
            AND heartbeat_at < clock_timestamp() - INTERVAL '30 seconds'
    ),
    halted AS MATERIALIZED (
        SELECT begins_at, ends_at FROM ticks_platform.halted_times(of_symbol, time_bucket(width, begins), ends + width)
    ),
    judged AS (
        SELECT
            asked.begin,
            asked.until,
            count(wanted.feed) AS feeds,
            count(*) FILTER (WHERE is_open) AS open,
            count(*) FILTER (WHERE is_open AND NOT in_gap) AS listening
        FROM asked
        LEFT JOIN wanted ON wanted_from < until AND wanted_until > begin
        LEFT JOIN LATERAL (
            SELECT
                EXISTS (
                    SELECT FROM session
                    WHERE session.calendar = wanted.calendar
                        AND opens_at < least(until, wanted_until) AND closes_at > greatest(begin, wanted_from)
                ) AS is_open,
                EXISTS (
                    SELECT FROM gap WHERE gap.feed = wanted.feed AND begins_at < until AND ends_at > begin
                ) AS in_gap
        ) AS state ON wanted.feed IS NOT NULL
        GROUP BY asked.begin, asked.until
    )
    SELECT
        judged.begin,
        CASE
            WHEN has_prices THEN 'candle'
            WHEN until > clock_timestamp() THEN 'not_over'
            WHEN candle.begin IS NOT NULL AND (open = 0 OR listening > 0) THEN 'no_price'
            WHEN feeds = 0 THEN 'not_wanted'
            WHEN open = 0 THEN 'market_closed'
            WHEN listening = 0 THEN 'feed_gap'
            WHEN EXISTS (SELECT FROM halted WHERE begins_at < until AND ends_at > judged.begin) THEN 'halted'
            ELSE 'no_trade'
        END
    FROM judged
    LEFT JOIN candle ON candle.begin = judged.begin
    ORDER BY judged.begin
$$;

COMMENT ON FUNCTION ticks_platform.candle_reasons IS 'For each bucket of a symbol: candle, no_trade, no_price, halted, market_closed, feed_gap, not_wanted or not_over.';

-- Why a symbol has no prices in the bucket that holds this time; see candle_reasons for the answers.
CREATE OR REPLACE FUNCTION ticks_platform.why_no_candle(
    of_symbol text, at timestamptz, width interval DEFAULT '1 minute'
) RETURNS text
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT reason
    FROM ticks_platform.candle_reasons(
        of_symbol, time_bucket(width, at), time_bucket(width, at) + make_interval(secs => extract(epoch FROM width)::double precision), width
    )
$$;

COMMENT ON FUNCTION ticks_platform.why_no_candle IS 'Why a symbol has no prices in a bucket: no_trade, no_price, halted, market_closed, feed_gap, not_wanted, not_over; or candle.';

-- The conditions of a trade with their names, and what each of them forbids, by the rules of the trade's day in New York. A condition that is in
-- no table has no name and forbids nothing. Form T forbids nothing outside of regular hours, as the providers' bars of minutes have it.
-- What the trade may change is not decided here: it is in stocks_real_time.updates.
CREATE OR REPLACE FUNCTION ticks_platform.explain_conditions(of_conditions smallint[], of_feed text, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT coalesce(jsonb_agg(
        jsonb_build_object(
            'condition', given.condition,
            'name', rule.name,
            'forbids', array_remove(ARRAY[
                CASE WHEN NOT updates_open_close THEN 'open_close' END,
                CASE WHEN NOT updates_high_low THEN 'high_low' END,
                CASE WHEN NOT updates_volume THEN 'volume' END
            ], NULL),
            'in_regular_hours_only', coalesce(rule.name LIKE 'Form T%', false)
        )
        ORDER BY place
    ), '[]')
    FROM unnest(of_conditions) WITH ORDINALITY AS given (condition, place)
    LEFT JOIN LATERAL (
        SELECT name, updates_open_close, updates_high_low, updates_volume
        FROM ticks_platform.trade_condition AS known
        WHERE known.condition = given.condition
            AND provider = coalesce((SELECT feed.provider FROM ticks_platform.feed WHERE feed.feed = of_feed), provider)
            AND valid_from <= (at AT TIME ZONE 'America/New_York')::date
        ORDER BY valid_from DESC, rules_version DESC
        LIMIT 1
    ) AS rule ON true
$$;

COMMENT ON FUNCTION ticks_platform.explain_conditions IS 'The conditions of a trade: their names, and what each forbids.';

-- Which values of a candle differ from another account of it, of those that both have. Prices are compared exactly; sums of fractions
-- in any order may differ in the last digits. explain_candle calls it.
CREATE OR REPLACE FUNCTION ticks_platform.explain_difference(ours jsonb, theirs jsonb) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT coalesce(jsonb_agg(name ORDER BY place), '[]')
    FROM unnest(ARRAY['open', 'high', 'low', 'close', 'volume', 'day_volume', 'tick_count', 'price_count'])
        WITH ORDINALITY AS compared (name, place)
    WHERE ours ? name AND theirs ? name AND ours -> name <> theirs -> name AND NOT CASE
        WHEN name = 'volume' AND jsonb_typeof(ours -> name) = 'number' AND jsonb_typeof(theirs -> name) = 'number'
            THEN abs((ours ->> name)::numeric - (theirs ->> name)::numeric)
                <= 1e-9 * greatest(abs((ours ->> name)::numeric), abs((theirs ->> name)::numeric))
        ELSE false
    END
$$;

COMMENT ON FUNCTION ticks_platform.explain_difference IS 'Which values of a candle differ from another account of it.';

-- What the ticks of a symbol make of a time that is whole minutes: the candle, the ticks that its prices come from, the ticks that
-- were left out, and all of them by what they may change. NULL where there is no tick. explain_candle calls it.
--
-- It reads the ticks of the time once, minute by minute, as groups of the same conditions, and then those of the few minutes again in
-- which the ticks are that it shows. EXECUTE, so that the times are constants when it is planned: only their chunks are read.
CREATE OR REPLACE FUNCTION ticks_platform.explain_ticks(
    of_symbol text, begins timestamptz, ends timestamptz, late_from timestamptz, listed integer DEFAULT 25
) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    found jsonb;
BEGIN
    EXECUTE $query$
        WITH grouped AS MATERIALIZED (
            SELECT
                *,
                low IS NOT NULL AND coalesce(updates, 7) & 25 = 1 AS opens,
                low IS NOT NULL AND coalesce(updates, 7) & 26 = 2 AS extends,
                coalesce(updates, 7) & 28 = 4 AS counts,
                CASE WHEN updates & 16 > 0 THEN 'secondary' WHEN updates & 8 > 0 THEN 'cancelled' ELSE 'conditions' END AS reason
            FROM generate_series($2, $3 - INTERVAL '1 microsecond', INTERVAL '1 minute') AS minutes_of (minute)
            CROSS JOIN LATERAL (
                SELECT
                    feed,
                    updates,
                    conditions,
                    count(*) AS ticks,
                    sum(size) AS volume,
                    min(price) AS low,
                    max(price) AS high,
                    first(place, place) AS first_place,
                    last(place, place) AS last_place,
                    last(day_volume, place) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
                    last(place, place) FILTER (WHERE day_volume IS NOT NULL) AS day_volume_place,
                    array_agg(tick_id) FILTER (WHERE updates & 8 > 0) AS cancelled,
                    count(*) FILTER (WHERE received_at >= $4) AS late,
                    max(received_at) AS received_at
                FROM (SELECT *, ticks_platform.tick_order(time, tick_id) AS place FROM stocks_real_time) AS tick
                WHERE symbol = $1 AND time >= $2 AND time < $3
                    -- Of a single minute, the planner drops this, and estimates better.
                    AND ($3 - $2 <= INTERVAL '1 minute' OR time >= minute AND time < minute + INTERVAL '1 minute')
                -- A row by hand may have no price.
                GROUP BY feed, updates, conditions, price IS NULL
            ) AS counted
        ),
        -- Four prices or none: a minute without a tick that may open or close has none, and gives none to its hour.
        minutes AS MATERIALIZED (
            SELECT
                minute,
                bool_or(opens) AS has_prices,
                first(first_place, first_place) FILTER (WHERE opens) AS open_place,
                last(last_place, last_place) FILTER (WHERE opens) AS close_place,
                max(high) FILTER (WHERE extends) AS high,
                min(low) FILTER (WHERE extends) AS low,
                sum(volume) FILTER (WHERE counts) AS volume,
                last(day_volume, day_volume_place) FILTER (WHERE day_volume IS NOT NULL AND counts) AS day_volume,
                sum(ticks) AS tick_count,
                sum(ticks) FILTER (WHERE extends) AS price_count
            FROM grouped
            GROUP BY minute
        ),
        candle AS MATERIALIZED (
            SELECT
                first(open_place, minute) FILTER (WHERE has_prices) AS open_place,
                first(minute, minute) FILTER (WHERE has_prices) AS open_minute,
                last(close_place, minute) FILTER (WHERE has_prices) AS close_place,
                last(minute, minute) FILTER (WHERE has_prices) AS close_minute,
                max(high) FILTER (WHERE has_prices) AS high,
                min(low) FILTER (WHERE has_prices) AS low,
                sum(volume) AS volume,
                last(day_volume, minute) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
                sum(tick_count)::bigint AS tick_count,
                coalesce(sum(price_count) FILTER (WHERE has_prices), 0)::bigint AS price_count
            FROM minutes
        ),
        -- The groups that did not form a price, and came before the open, after the close, above the high or below the low.
        left_out AS MATERIALIZED (
            SELECT
                grouped.*,
                NOT (opens AND has_prices) AND (candle.open_place IS NULL OR grouped.first_place < candle.open_place) AS before_open,
                NOT (opens AND has_prices) AND (candle.close_place IS NULL OR grouped.last_place > candle.close_place) AS after_close,
                NOT (extends AND has_prices) AND (candle.high IS NULL OR grouped.high > candle.high) AS above,
                NOT (extends AND has_prices) AND (candle.low IS NULL OR grouped.low < candle.low) AS below
            FROM grouped
            JOIN minutes USING (minute)
            CROSS JOIN candle
            WHERE grouped.low IS NOT NULL
        ),
        -- The ticks to show, and the minute that each is in: by its place in the order, or the first one with this price.
        sought (price_of, reason, minute, place, price) AS MATERIALIZED (
            SELECT 'open', NULL, open_minute, open_place, NULL::double precision FROM candle WHERE open_place IS NOT NULL
            UNION ALL
            SELECT 'close', NULL, close_minute, close_place, NULL FROM candle WHERE close_place IS NOT NULL
            UNION ALL
            (SELECT 'high', NULL, minute, NULL, high FROM minutes JOIN candle USING (high) WHERE has_prices ORDER BY minute LIMIT 1)
            UNION ALL
            (SELECT 'low', NULL, minute, NULL, low FROM minutes JOIN candle USING (low) WHERE has_prices ORDER BY minute LIMIT 1)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'open', reason, minute, first_place, NULL FROM left_out WHERE before_open ORDER BY reason, first_place)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'close', reason, minute, last_place, NULL FROM left_out WHERE after_close ORDER BY reason, last_place DESC)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'high', reason, minute, NULL, high FROM left_out WHERE above ORDER BY reason, high DESC, minute)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'low', reason, minute, NULL, low FROM left_out WHERE below ORDER BY reason, low, minute)
        ),
        candidate AS MATERIALIZED (
            SELECT minute, tick.*
            FROM (SELECT DISTINCT minute FROM sought) AS minutes_of
            CROSS JOIN LATERAL (
                SELECT
                    time, price, size, exchange, trade_id, tick_id, place, feed, received_at, conditions,
                    price IS NOT NULL AND coalesce(updates, 7) & 25 = 1 AS opens,
                    price IS NOT NULL AND coalesce(updates, 7) & 26 = 2 AS extends,
                    CASE WHEN updates & 16 > 0 THEN 'secondary' WHEN updates & 8 > 0 THEN 'cancelled' ELSE 'conditions' END AS reason
                FROM (SELECT *, ticks_platform.tick_order(time, tick_id) AS place FROM stocks_real_time) AS stored
                WHERE symbol = $1 AND time >= $2 AND time < $3
                    AND ($3 - $2 <= INTERVAL '1 minute' OR time >= minute AND time < minute + INTERVAL '1 minute')
                    AND (
                        price = ANY ((SELECT array_agg(price) FROM sought WHERE price IS NOT NULL)::double precision[])
                        OR place = ANY ((SELECT array_agg(place) FROM sought WHERE place IS NOT NULL)::uuid[])
                    )
            ) AS tick
        ),
        shown AS MATERIALIZED (
            SELECT DISTINCT ON (price_of, sought.reason)
                price_of,
                sought.reason,
                candidate.place,
                jsonb_build_object(
                    'time', time, 'price', candidate.price, 'size', size, 'exchange', exchange, 'trade_id', trade_id,
                    'tick_id', candidate.tick_id, 'feed', feed, 'received_at', received_at,
                    'conditions', ticks_platform.explain_conditions(conditions, feed, time)
                ) AS tick
            FROM sought
            JOIN candidate ON candidate.minute = sought.minute
                AND (sought.place IS NULL OR candidate.place = sought.place)
                AND (
                    sought.price IS NULL
                    OR candidate.price = sought.price AND CASE
                        WHEN sought.reason IS NULL THEN extends
                        ELSE candidate.reason = sought.reason AND NOT (extends AND EXISTS (
                            SELECT FROM minutes WHERE minutes.minute = candidate.minute AND has_prices
                        ))
                    END
                )
            ORDER BY price_of, sought.reason, candidate.place
        ),
        cancelled AS MATERIALIZED (
            SELECT minute, feed, unnest(cancelled) AS tick_id FROM grouped
        ),
        taken_back AS MATERIALIZED (
            SELECT correction.*, cancelled.minute
            FROM tick_correction AS correction
            LEFT JOIN cancelled USING (tick_id)
            WHERE correction.tick_id = ANY (ARRAY(SELECT tick_id FROM cancelled))
                OR correction.tick_id IS NULL AND correction.symbol = $1 AND correction.time >= $2 AND correction.time < $3
            ORDER BY known_at DESC, correction_id
        )
        SELECT jsonb_build_object(
            'recomputed', jsonb_build_object(
                'open', (SELECT tick -> 'price' FROM shown WHERE price_of = 'open' AND reason IS NULL),
                'high', candle.high,
                'low', candle.low,
                'close', (SELECT tick -> 'price' FROM shown WHERE price_of = 'close' AND reason IS NULL),
                'volume', volume,
                'day_volume', day_volume,
                'tick_count', tick_count,
                'price_count', price_count
            ),
            'prices', (SELECT coalesce(jsonb_object_agg(price_of, tick), '{}') FROM shown WHERE reason IS NULL),
            'left_out', (
                SELECT coalesce(jsonb_agg(
                    tick || jsonb_build_object('would_be', price_of, 'reason', reason) ORDER BY reason, place, price_of
                ), '[]')
                FROM shown
                WHERE reason IS NOT NULL AND NOT EXISTS (
                    SELECT FROM shown AS chosen
                    WHERE chosen.reason IS NULL AND chosen.price_of = shown.price_of AND chosen.tick -> 'price' = shown.tick -> 'price'
                )
            ),
            'groups', (
                SELECT jsonb_agg(to_jsonb(by_use) ORDER BY ticks DESC)
                FROM (
                    SELECT
                        array_remove(ARRAY[
                            CASE WHEN opens THEN 'open_close' END, CASE WHEN extends THEN 'high_low' END, CASE WHEN counts THEN 'volume' END
                            ], NULL) AS may_change,
                        CASE WHEN reason <> 'conditions' THEN reason END AS reason,
                        sum(ticks)::bigint AS ticks,
                        sum(volume) AS volume,
                        min(low) AS low,
                        max(high) AS high
                    FROM grouped
                    GROUP BY opens, extends, counts, 2
                ) AS by_use
            ),
            'conditions', (
                SELECT jsonb_agg(to_jsonb(by_set) - 'raw' - 'feed' ORDER BY ticks DESC, raw)
                FROM (
                    SELECT
                        conditions AS raw,
                        feed,
                        ticks_platform.explain_conditions(conditions, feed, $2) AS conditions,
                        may_change, reason, ticks, volume, low, high
                    FROM (
                        SELECT
                            conditions,
                            min(feed) AS feed,
                            array_remove(ARRAY[
                                CASE WHEN opens THEN 'open_close' END, CASE WHEN extends THEN 'high_low' END, CASE WHEN counts THEN 'volume' END
                                ], NULL) AS may_change,
                            CASE WHEN reason <> 'conditions' THEN reason END AS reason,
                            sum(ticks)::bigint AS ticks,
                            sum(volume) AS volume,
                            min(low) AS low,
                            max(high) AS high
                        FROM grouped
                        GROUP BY conditions, opens, extends, counts, 4
                        ORDER BY sum(ticks) DESC, conditions
                        LIMIT $5
                    ) AS most
                ) AS by_set
            ),
            'condition_sets', (SELECT count(*) FROM (SELECT DISTINCT conditions, opens, extends, counts, reason FROM grouped) AS sets),
            'minutes', (SELECT count(*) FROM minutes),
            'minutes_without_prices', (SELECT count(*) FROM minutes WHERE NOT has_prices),
            'feeds', (
                SELECT jsonb_agg(to_jsonb(by_feed) ORDER BY secondary, ticks DESC)
                FROM (
                    SELECT
                        feed, reason = 'secondary' AS secondary, sum(ticks)::bigint AS ticks, sum(volume) AS volume,
                        min(low) AS low, max(high) AS high
                    FROM grouped
                    GROUP BY feed, reason = 'secondary'
                ) AS by_feed
            ),
            'late', (
                SELECT jsonb_build_object('since', $4, 'ticks', sum(late)::bigint, 'last_received_at', max(received_at)) FROM grouped
            ),
            'taken_back', (SELECT count(*) FROM cancelled),
            'corrections', (
                SELECT coalesce(jsonb_agg(
                    jsonb_build_object(
                        'kind', kind, 'time', time, 'price', price, 'size', size, 'exchange', exchange, 'trade_id', trade_id,
                        'feed', feed, 'tick_id', tick_id, 'known_at', known_at, 'source', source,
                        'conditions', ticks_platform.explain_conditions(conditions, feed, time),
                        'replaced_by', replaced_by
                    )
                    ORDER BY known_at DESC, correction_id
                ), '[]')
                FROM (SELECT * FROM taken_back LIMIT $5) AS correction
                LEFT JOIN LATERAL (
                    SELECT jsonb_build_object('time', tick.time, 'price', tick.price, 'size', tick.size, 'tick_id', tick.tick_id) AS replaced_by
                    FROM stocks_real_time AS tick
                    WHERE correction.kind = 'corrected' AND tick.symbol = $1 AND tick.time >= $2 AND tick.time < $3
                        AND tick.time >= correction.minute AND tick.time < correction.minute + INTERVAL '1 minute'
                        AND tick.trade_id = correction.trade_id AND tick.exchange IS NOT DISTINCT FROM correction.exchange
                        AND tick.feed = correction.feed AND coalesce(tick.updates, 7) & 8 = 0
                    ORDER BY ticks_platform.tick_order(tick.time, tick.tick_id) DESC
                    LIMIT 1
                ) AS corrected ON true
            )
        )
        FROM candle
        WHERE tick_count > 0
    $query$
    INTO found
    USING of_symbol, begins, ends, late_from, listed;
    RETURN found;
END
$$;

COMMENT ON FUNCTION ticks_platform.explain_ticks IS 'What the ticks of a symbol make of a time, and why. explain_candle has the rest.';

-- How far a candle is with a bucket: whether it is materialized, whether something of it has changed since, and when it was
-- refreshed. `late_from` is when its policy may have refreshed it first. The database does not record when it refreshed a bucket: what
-- is known is the last run of the policy, if the bucket was in its window, and the last refresh for late ticks. explain_candle calls it.
CREATE OR REPLACE FUNCTION ticks_platform.explain_refresh(
    of_candle text, begins timestamptz, ends timestamptz
) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    WITH candle AS (
        SELECT
            mat_hypertable_id,
            raw_hypertable_id,
            materialization_hypertable_name AS materialization,
            continuous_aggregates.materialized_only,
            CASE WHEN watermark > -210866803200000000 AND watermark < 9223371331200000000
                THEN _timescaledb_functions.to_timestamp(watermark) END AS watermark
        FROM _timescaledb_catalog.continuous_agg
        JOIN timescaledb_information.continuous_aggregates
            ON view_schema = user_view_schema AND view_name = user_view_name
        LEFT JOIN _timescaledb_catalog.continuous_aggs_watermark USING (mat_hypertable_id)
        WHERE user_view_schema = (
            SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE pg_class.oid = to_regclass(of_candle)
        ) AND user_view_name = of_candle
    ),
    policy AS (
        SELECT
            (config ->> 'start_offset')::interval AS start_offset,
            coalesce((config ->> 'end_offset')::interval, INTERVAL '0') AS end_offset,
            CASE WHEN isfinite(last_successful_finish) THEN last_successful_finish END AS last_run_at
        FROM timescaledb_information.jobs
        -- Jobs name the materialization on older releases and the candle itself on newer ones.
        JOIN candle ON hypertable_name::text IN (of_candle, materialization)
        LEFT JOIN timescaledb_information.job_stats USING (job_id)
        WHERE proc_name = 'policy_refresh_continuous_aggregate'
        ORDER BY job_id
        LIMIT 1
    ),
    late AS (
        -- The refresh for late ticks counts minutes by their hours.
        SELECT max(refreshed_at) AS refreshed_at
        FROM ticks_platform.candle_refresh
        WHERE candle = CASE of_candle WHEN 'one_minute_candle' THEN 'one_hour_candle' ELSE of_candle END
            AND bucket = CASE of_candle WHEN 'one_day_candle' THEN begins ELSE time_bucket(INTERVAL '1 hour', begins) END
    ),
    changed AS (
        SELECT EXISTS (
            SELECT FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log AS log
            WHERE log.hypertable_id = raw_hypertable_id
                AND lowest_modified_value < _timescaledb_functions.to_unix_microseconds(ends)
                AND greatest_modified_value >= _timescaledb_functions.to_unix_microseconds(begins)
        ) OR EXISTS (
            SELECT FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log AS log
            WHERE log.materialization_id = mat_hypertable_id
                AND lowest_modified_value < _timescaledb_functions.to_unix_microseconds(ends)
                AND greatest_modified_value >= _timescaledb_functions.to_unix_microseconds(begins)
        ) AS since
        FROM candle
    )
    SELECT jsonb_build_object(
        'candle', of_candle,
        'materialized', coalesce(ends <= watermark, false),
        'materialized_up_to', watermark,
        'shows_only_what_is_materialized', materialized_only,
        'changed_since', ends <= watermark AND changed.since,
        'policy_last_ran_at', last_run_at,
        'refreshed_at', greatest(
            CASE WHEN ends <= last_run_at - end_offset AND (start_offset IS NULL OR begins >= last_run_at - start_offset) THEN last_run_at END,
            late.refreshed_at
        ),
        'late_from', ends + coalesce(end_offset, INTERVAL '1 minute')
    )
    FROM candle
    CROSS JOIN late
    CROSS JOIN changed
    LEFT JOIN policy ON true
$$;

COMMENT ON FUNCTION ticks_platform.explain_refresh IS 'How far a candle is with a bucket. explain_candle has the rest.';

-- How a symbol was received in a time: feeds that were to stream it, what of the time each covered, gaps, trading halts, rejected events,
-- and the provider's bars of minutes rolled up. explain_candle calls it.
CREATE OR REPLACE FUNCTION ticks_platform.explain_reception(
    of_symbol text, begins timestamptz, ends timestamptz, listed integer DEFAULT 25
) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    found jsonb;
    rejected jsonb := '{"searched": false}';
BEGIN
    EXECUTE $query$
        WITH wanted AS MATERIALIZED (
            SELECT feed, bool_or(refusal IS NOT NULL) AS refused
            FROM ticks_platform.feed_symbol
            WHERE symbol = $1 AND wanted_from < $3 AND coalesce(wanted_until, 'infinity') > $2
            GROUP BY feed
        ),
        covered AS (
            -- What lasts is covered until now, and no longer.
            SELECT
                wanted.feed,
                range_agg(tstzrange(
                    greatest(begins_at, $2), greatest(begins_at, $2, least(coalesce(ends_at, now()), $3))
                )) AS times
            FROM wanted
            CROSS JOIN LATERAL ticks_platform.coverage_within(wanted.feed, $1, $2, $3) AS coverage
            GROUP BY wanted.feed
        ),
        gap AS MATERIALIZED (
            SELECT feed, known.*
            FROM ticks_platform.feed
            CROSS JOIN LATERAL ticks_platform.gaps_within(feed, $1, $2, $3) AS known
            ORDER BY begins_at, feed
        ),
        bar AS (
            SELECT
                feed,
                count(*) AS bars,
                first(open_price, start_time) AS open,
                max(high_price) AS high,
                min(low_price) AS low,
                last(close_price, start_time) AS close,
                sum(volume) AS volume,
                max(received_at) AS received_at
            FROM stock_aggregates
            WHERE symbol = $1 AND start_time >= $2 AND start_time < $3 AND end_time = start_time + INTERVAL '1 minute'
            GROUP BY feed
        )
        SELECT jsonb_build_object(
            'coverage', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'feed', feed,
                    'refused', refused,
                    'seconds', round(coalesce((SELECT sum(extract(epoch FROM upper(part) - lower(part))) FROM unnest(times) AS part), 0), 3)
                ) ORDER BY feed), '[]')
                FROM wanted
                LEFT JOIN covered USING (feed)
            ),
            'gap_count', (SELECT count(*) FROM gap),
            'gaps', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'feed', feed, 'begins_at', begins_at, 'ends_at', ends_at, 'cause', cause, 'state', state,
                    'rows_repaired', rows_repaired
                ) ORDER BY begins_at, feed), '[]')
                FROM (SELECT * FROM gap LIMIT $4) AS listed
            ),
            'halts', (SELECT coalesce(jsonb_agg(to_jsonb(halt)), '[]') FROM ticks_platform.halted_times($1, $2, $3) AS halt),
            'bars', (SELECT coalesce(jsonb_agg(to_jsonb(bar) ORDER BY feed), '[]') FROM bar)
        )
    $query$
    INTO found
    USING of_symbol, begins, ends, listed;
    -- No index leads to the events of a symbol or a time, and there are few, or something is wrong.
    IF pg_relation_size('ticks_platform.rejected_event') < 16 * 1024 * 1024 THEN
        SELECT jsonb_build_object('searched', true, 'events', sum(events), 'reasons', jsonb_agg(to_jsonb(by_reason) ORDER BY events DESC))
        INTO rejected
        FROM (
            SELECT feed, left(reason, 200) AS reason, count(*) AS events
            FROM ticks_platform.rejected_event
            WHERE received_at >= begins AND received_at < ends + INTERVAL '1 minute'
                AND position(convert_to(to_json(of_symbol)::text, 'UTF8') IN raw) > 0
            GROUP BY feed, left(reason, 200)
            ORDER BY count(*) DESC
            LIMIT listed
        ) AS by_reason;
    END IF;
    RETURN found || jsonb_build_object('rejected', rejected);
END
$$;

COMMENT ON FUNCTION ticks_platform.explain_reception IS 'How a symbol was received in a time. explain_candle has the rest.';

-- The volume of each minute that begins in a time, by the rule of one_minute_candle_volume: the sum of the trade sizes, or else what the
-- volume of the day grew by since the minute before that has one. That view reads all minutes of a symbol; this reads those of the day
-- before, in which the day that is being counted has begun.
--   since    the end of that minute before: where it is earlier than the bucket, nothing told the volume of the time between, which is in
--            this minute's. Empty in the first minute of a day that has one, whose volume is that of the day so far; and for sums of sizes
CREATE OR REPLACE FUNCTION ticks_platform.derived_volumes(
    of_symbols text[], begins timestamptz, ends timestamptz,
    OUT bucket timestamptz, OUT symbol text, OUT volume double precision, OUT derived boolean, OUT since timestamptz
) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT
        bucket,
        symbol,
        coalesce(volume, CASE WHEN day_volume_high IS NOT NULL THEN greatest(day_volume_high - coalesce(highest, 0), 0) END),
        volume IS NULL AND day_volume_high IS NOT NULL,
        CASE WHEN volume IS NULL AND day_volume_high IS NOT NULL THEN previous_bucket + INTERVAL '1 minute' END
    FROM (
        SELECT
            *,
            max(day_volume_high) OVER of_the_day AS highest,
            max(bucket) FILTER (WHERE day_volume_high IS NOT NULL) OVER of_the_day AS previous_bucket
        FROM (
            SELECT *, count(*) FILTER (WHERE day_volume_high < previous / 2.0) OVER (PARTITION BY symbol ORDER BY bucket) AS counting
            FROM (
                SELECT candle.bucket, candle.symbol, candle.volume, candle.day_volume_high,
                    -- Candles without a volume of the day are a partition of their own, so the previous candle is one that has it.
                    lag(candle.day_volume_high) OVER (PARTITION BY candle.symbol, candle.day_volume_high IS NULL ORDER BY candle.bucket) AS previous
                FROM one_minute_candle AS candle
                WHERE candle.bucket >= begins - INTERVAL '24 hours' AND candle.bucket < ends
                    AND (of_symbols IS NULL OR candle.symbol = ANY (of_symbols))
            ) AS minutes
        ) AS counted
        WINDOW of_the_day AS (PARTITION BY symbol, counting ORDER BY bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) AS grown
    WHERE bucket >= begins
$$;

COMMENT ON FUNCTION ticks_platform.derived_volumes IS 'The volume of each minute, from trade sizes or else from the volume of the day, and since when that grew by it.';

-- One answer for whoever does not believe a candle: the candle as it is stored and as its ticks make it, the ticks that its prices come
-- from, those that were left out and why, what was taken back, what came late, how the symbol was received, official prices, the
-- provider's bar, and how far the candle is refreshed. The bucket is the one of this width that holds the time; a candle is of a
-- minute, an hour or a UTC day. All times are UTC. Lists are cut off at some twenty entries, the counts beside them are not.
--   answer   candle, no_price (it has volume only), or why there is none; see candle_reasons
CREATE OR REPLACE FUNCTION explain_candle(symbol text, bucket timestamptz, width interval DEFAULT '1 minute') RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    of_symbol CONSTANT text := explain_candle.symbol;
    begins CONSTANT timestamptz := time_bucket(explain_candle.width, explain_candle.bucket);
    ends CONSTANT timestamptz := begins + make_interval(secs => extract(epoch FROM explain_candle.width)::double precision);
    view_name text;
    stored jsonb;
    compared jsonb;
    ticks jsonb;
    refresh jsonb;
    reception jsonb;
    official jsonb;
    hours jsonb;
    derived jsonb;
BEGIN
    view_name := CASE explain_candle.width
        WHEN INTERVAL '1 minute' THEN 'one_minute_candle'
        WHEN INTERVAL '1 hour' THEN 'one_hour_candle'
        WHEN INTERVAL '1 day' THEN 'one_day_candle'
    END;
    IF view_name IS NULL THEN
        RAISE EXCEPTION 'no candle has the width %', explain_candle.width
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Candles are of 1 minute, 1 hour or 1 day.';
    END IF;
    EXECUTE format('SELECT to_jsonb(candle) - ''bucket'' - ''symbol'' FROM %I AS candle WHERE symbol = $1 AND bucket = $2', view_name)
    INTO stored
    USING of_symbol, begins;
    IF stored ->> 'volume' IS NULL AND stored ->> 'day_volume' IS NOT NULL THEN
        SELECT jsonb_build_object(
            'volume', sum(minute.volume),
            'since', (array_agg(minute.since ORDER BY minute.bucket))[1],
            'is_first_of_day', (array_agg(minute.since ORDER BY minute.bucket))[1] IS NULL
        )
        INTO derived
        FROM ticks_platform.derived_volumes(ARRAY[of_symbol], begins, ends) AS minute
        WHERE minute.derived;
    END IF;
    refresh := ticks_platform.explain_refresh(view_name, begins, ends);
    ticks := ticks_platform.explain_ticks(
        of_symbol, begins, ends, coalesce((refresh ->> 'late_from')::timestamptz, ends + INTERVAL '1 minute')
    );
    reception := ticks_platform.explain_reception(of_symbol, begins, ends);

    -- Minutes without prices have volume and no bar, so volumes of longer buckets are not comparable.
    IF reception -> 'bars' <> '[]' THEN
        compared := CASE WHEN explain_candle.width > INTERVAL '1 minute' THEN stored - 'volume' ELSE stored END;
        reception := jsonb_set(reception, '{bars}', (
            SELECT jsonb_agg(bar || jsonb_build_object('differs', ticks_platform.explain_difference(compared, bar)) ORDER BY place)
            FROM jsonb_array_elements(reception -> 'bars') WITH ORDINALITY AS given (bar, place)
        ));
    END IF;

    -- The trading days that the bucket lies in, each with the hours before its opening.
    WITH known AS (
        SELECT symbol_calendar.calendar
        FROM ticks_platform.symbol_calendar
        WHERE symbol_calendar.symbol = of_symbol
        ORDER BY calendar = 'always', feed
        LIMIT 1
    ),
    days AS (
        SELECT session, calendar, min(opens_at) AS opens_at, max(closes_at) AS closes_at
        FROM known
        JOIN ticks_platform.market_session USING (calendar)
        WHERE opens_at < ends + INTERVAL '6 hours' AND opens_at > begins - INTERVAL '10 days'
        GROUP BY session, calendar
    )
    SELECT
        (SELECT jsonb_agg(to_jsonb(day) ORDER BY opens_at) FROM days AS day WHERE opens_at >= coalesce(first_opening, '-infinity')),
        (
            SELECT coalesce(jsonb_agg(
                to_jsonb(official_price) - 'symbol' - 'received_at'
                ORDER BY session, kind = 'open' DESC, kind = 'corrected_close' DESC, is_primary DESC, size DESC NULLS LAST, time DESC
            ), '[]')
            FROM official_price
            WHERE symbol = of_symbol AND session BETWEEN first_session AND last_session
        )
    INTO hours, official
    FROM (
        SELECT
            max(opens_at) FILTER (WHERE opens_at <= begins + INTERVAL '6 hours') AS first_opening,
            coalesce(max(days.session) FILTER (WHERE opens_at <= begins + INTERVAL '6 hours'), begins::date) AS first_session,
            coalesce(max(days.session), (ends - INTERVAL '1 microsecond')::date) AS last_session
        FROM days
    ) AS bounds;

    RETURN jsonb_build_object(
        'symbol', of_symbol,
        'bucket', begins,
        'until', ends,
        'has_ended', ends <= now(),
        'answer', CASE
            WHEN stored IS NULL THEN ticks_platform.why_no_candle(of_symbol, begins, explain_candle.width)
            WHEN stored ->> 'open' IS NULL THEN 'no_price'
            ELSE 'candle'
        END,
        'candle', stored,
        'derived_volume', derived,
        'differs_from_its_ticks', ticks_platform.explain_difference(stored, ticks -> 'recomputed'),
        'refresh', refresh,
        'sessions', coalesce(hours, '[]'),
        'official_prices', official
    ) || coalesce(ticks, '{"recomputed": null}') || reception;
END
$$;

COMMENT ON FUNCTION explain_candle IS 'Where the candle of a symbol in a bucket comes from, and what was left out of it; or why there is none.';

-- Until when ticks of a time are gone, because their chunk was dropped; NULL if all that were stored are there. A chunk that was created
-- after rows of its time had been counted may hold late rows only, if the first one was dropped. Ticks that nobody counted are told by
-- the symbol's candles, which stay.
CREATE OR REPLACE FUNCTION ticks_platform.dropped_ticks(of_symbol text, begins timestamptz, ends timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    suspects jsonb;
    left_out tstzmultirange;
    dropped_until timestamptz;
BEGIN
    WITH chunk AS MATERIALIZED (
        SELECT range_start, range_end,
            -- By name, for releases whose view does not have it.
            (to_jsonb(chunks) ->> 'chunk_creation_time')::timestamptz AS created_at
        FROM timescaledb_information.chunks
        WHERE hypertable_schema = current_schema() AND hypertable_name = 'stocks_real_time'
            AND range_end > begins AND range_start < ends
    )
    SELECT
        (
            SELECT jsonb_agg(to_jsonb(counted))
            FROM ticks_platform.feed_hour AS counted
            WHERE destination = 'stocks_real_time' AND isfinite(hour) AND hour > begins - INTERVAL '1 hour' AND hour < ends
                AND NOT EXISTS (
                    SELECT FROM chunk
                    WHERE range_start < hour + INTERVAL '1 hour' AND range_end > hour
                        AND (created_at IS NULL OR created_at <= counted_since)
                )
        ),
        tstzmultirange(tstzrange(begins, ends)) - coalesce((SELECT range_agg(tstzrange(range_start, range_end)) FROM chunk), '{}')
    INTO suspects, left_out;
    -- EXECUTE, so that times are constants when it is planned.
    IF suspects IS NOT NULL THEN
        EXECUTE $query$
            SELECT max(hour + INTERVAL '1 hour')
            FROM jsonb_to_recordset($1) AS counted (feed text, hour timestamptz, loaded bigint)
            WHERE loaded > (
                SELECT count(*)
                FROM stocks_real_time AS tick
                WHERE tick.feed = counted.feed AND time >= hour AND time < hour + INTERVAL '1 hour' AND time >= $2 AND time < $3
            )
        $query$
        INTO dropped_until
        USING suspects, begins - INTERVAL '1 hour', ends + INTERVAL '1 hour';
    END IF;
    IF dropped_until IS NULL AND NOT isempty(left_out) THEN
        -- Without its ticks, a candle is a stored one.
        EXECUTE $query$
            SELECT max(bucket) + INTERVAL '1 minute'
            FROM unnest($2) AS part
            JOIN one_minute_candle ON bucket >= lower(part) AND bucket < upper(part)
            WHERE symbol = $1
        $query$
        INTO dropped_until
        USING of_symbol, left_out;
    END IF;
    RETURN dropped_until;
END
$$;

COMMENT ON FUNCTION ticks_platform.dropped_ticks IS 'Until when ticks of a time are gone with their chunks. candles_as_of calls it.';

-- The candles of a symbol as they could have been known at a moment: of the ticks that had been received by then, and without what the
-- market took back later. Buckets are those that begin before `ends`, from the one that holds `begins`; one that was not over then is
-- of the ticks so far. Columns are those of one_minute_candle.
--
-- Which ticks may set prices is decided by the rules, and by the primary feed, of today: these bits of a tick have no history.
-- Buckets of whole minutes are made of their minutes, as one_hour_candle is: a minute has four prices, or none and gives none.
-- Ticks that are gone with their chunk raise an error, since there is no candle of half the ticks.
-- EXECUTE, so that the times are constants when it is planned: only their chunks are read.
CREATE OR REPLACE FUNCTION candles_as_of(
    OUT bucket timestamptz, INOUT symbol text, every interval, begins timestamptz, ends timestamptz, known_at timestamptz,
    OUT open double precision, OUT high double precision, OUT low double precision, OUT close double precision,
    OUT day_volume double precision, OUT volume double precision, OUT tick_count bigint, OUT price_count bigint,
    OUT first_time timestamptz, OUT last_time timestamptz, OUT day_volume_low double precision, OUT day_volume_high double precision
) RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT
SET search_path FROM CURRENT
AS $$
DECLARE
    day CONSTANT bigint := 86400000000;
    length CONSTANT numeric := extract(epoch FROM every) * 1000000;
    -- Not '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
    width CONSTANT interval := make_interval(secs => length::double precision / 1000000);
    part interval := width;
    -- No tick is older.
    first_bucket timestamptz := greatest(begins, '1990-01-01 00:00:00+00');
    until timestamptz := ends;
    dropped_until timestamptz;
BEGIN
    IF length <= 0 OR day % length <> 0 OR extract(year FROM every) <> 0 OR extract(month FROM every) <> 0 THEN
        RAISE EXCEPTION 'no candles of %: that does not divide a day', every
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Ask for 1 minute, 5 minutes, 1 hour, 1 day, or another interval of which a day is a multiple.';
    END IF;
    IF length % 60000000 = 0 THEN
        part := INTERVAL '1 minute';
    END IF;
    first_bucket := time_bucket(width, first_bucket);
    IF isfinite(until) THEN
        until := time_bucket(width, until - INTERVAL '1 microsecond') + width;
    END IF;
    IF until <= first_bucket THEN
        RETURN;
    END IF;
    dropped_until := ticks_platform.dropped_ticks(symbol, first_bucket, until);
    IF dropped_until IS NOT NULL THEN
        RAISE EXCEPTION 'the ticks before % are not stored any more', to_char(dropped_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
            USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'Candles as of a moment are made of ticks, and those chunks were dropped, as by retention.',
            HINT = 'Ask for buckets from that time on, or keep ticks longer: retention in policies.yaml.';
    END IF;
    RETURN QUERY EXECUTE $query$
        WITH part AS (
            SELECT
                time_bucket($5, time) AS begin,
                first(price, place) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) AS open,
                max(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) AS high,
                min(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) AS low,
                last(price, place) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) AS close,
                last(day_volume, place) FILTER (WHERE day_volume IS NOT NULL AND (updates IS NULL OR updates & 28 = 4)) AS day_volume,
                sum(size) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS volume,
                count(*) AS tick_count,
                count(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) AS price_count,
                min(time) AS first_time,
                max(time) AS last_time,
                min(day_volume) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS day_volume_low,
                max(day_volume) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS day_volume_high
            FROM (
                SELECT
                    time, price, day_volume, ticks_platform.tick_order(time, tick_id) AS place, size,
                    -- Taken back later: not yet. The nested CASE keeps the look-up to such ticks.
                    CASE
                        WHEN updates & 8 = 8 THEN CASE
                            WHEN (SELECT min(correction.known_at) FROM tick_correction AS correction WHERE correction.tick_id = tick.tick_id) > $4
                                THEN updates & ~8
                            ELSE updates
                        END
                        ELSE updates
                    END AS updates
                FROM stocks_real_time AS tick
                WHERE symbol = $1 AND time >= $2 AND time < $3 AND received_at <= $4
                -- Keeps the planner from computing `updates` for each aggregate again.
                OFFSET 0
            ) AS known
            GROUP BY time_bucket($5, time)
        )
        SELECT
            time_bucket($6, begin),
            $1,
            first(open, begin) FILTER (WHERE open IS NOT NULL),
            max(high) FILTER (WHERE open IS NOT NULL),
            min(low) FILTER (WHERE open IS NOT NULL),
            last(close, begin) FILTER (WHERE close IS NOT NULL),
            last(day_volume, begin) FILTER (WHERE day_volume IS NOT NULL),
            sum(volume),
            sum(tick_count)::bigint,
            coalesce(sum(price_count) FILTER (WHERE open IS NOT NULL), 0)::bigint,
            min(first_time),
            max(last_time),
            min(day_volume_low),
            max(day_volume_high)
        FROM part
        GROUP BY time_bucket($6, begin)
        ORDER BY time_bucket($6, begin)
    $query$
    USING symbol, first_bucket, until, known_at, part, width;
END
$$;

COMMENT ON FUNCTION candles_as_of IS 'The candles of a symbol as they could have been known at a moment, from the ticks that had been received by then.';

-- Candles of one hour, from the candles of one minute. Buckets are UTC.
-- Minutes without prices give none to their hour.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_hour_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 hour', bucket) AS bucket,
    symbol,
    first(open, bucket) FILTER (WHERE open IS NOT NULL) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) FILTER (WHERE close IS NOT NULL) AS close,
    last(day_volume, bucket) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
    sum(volume) AS volume,
    sum(tick_count)::bigint AS tick_count,
    sum(price_count)::bigint AS price_count
FROM one_minute_candle
GROUP BY time_bucket(INTERVAL '1 hour', bucket), symbol
WITH NO DATA;

COMMENT ON COLUMN one_hour_candle.bucket IS 'Begin of the hour, UTC.';
COMMENT ON COLUMN one_hour_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_hour_candle.open IS 'Price of the first tick of the hour that may set it; empty if none may.';
COMMENT ON COLUMN one_hour_candle.high IS 'Highest price of the hour; empty if open is.';
COMMENT ON COLUMN one_hour_candle.low IS 'Lowest price of the hour; empty if open is.';
COMMENT ON COLUMN one_hour_candle.close IS 'Price of the last tick of the hour that may set it; empty if open is.';
COMMENT ON COLUMN one_hour_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the hour that counts in it.';
COMMENT ON COLUMN one_hour_candle.volume IS 'Sum of the trade sizes that count; empty if none counts, or where the provider sends no sizes.';
COMMENT ON COLUMN one_hour_candle.tick_count IS 'Number of ticks in the hour, whatever they may change.';
COMMENT ON COLUMN one_hour_candle.price_count IS 'Number of ticks that formed prices of its minutes.';

-- A refresh policy of a candle.
SELECT add_continuous_aggregate_policy(
    'one_minute_candle'::regclass,
    start_offset => '1 days 7200.000000 seconds'::interval::interval,
    end_offset => '0 days 90.000000 seconds'::interval::interval,
    schedule_interval => '0 days 120.000000 seconds'::interval::interval
);

-- Candles of one day, from the candles of one hour. Days are UTC; for an exchange's own trading days see session_day_candle.
-- Hours without prices give none to their day.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_day_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 day', bucket) AS bucket,
    symbol,
    first(open, bucket) FILTER (WHERE open IS NOT NULL) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) FILTER (WHERE close IS NOT NULL) AS close,
    last(day_volume, bucket) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
    sum(volume) AS volume,
    sum(tick_count)::bigint AS tick_count,
    sum(price_count)::bigint AS price_count
FROM one_hour_candle
GROUP BY time_bucket(INTERVAL '1 day', bucket), symbol
WITH NO DATA;

COMMENT ON COLUMN one_day_candle.bucket IS 'Begin of the day, UTC.';
COMMENT ON COLUMN one_day_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_day_candle.open IS 'Price of the first tick of the day that may set it; empty if none may.';
COMMENT ON COLUMN one_day_candle.high IS 'Highest price of the day; empty if open is.';
COMMENT ON COLUMN one_day_candle.low IS 'Lowest price of the day; empty if open is.';
COMMENT ON COLUMN one_day_candle.close IS 'Price of the last tick of the day that may set it; empty if open is.';
COMMENT ON COLUMN one_day_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the UTC day that counts in it.';
COMMENT ON COLUMN one_day_candle.volume IS 'Sum of the trade sizes that count; empty if none counts, or where the provider sends no sizes.';
COMMENT ON COLUMN one_day_candle.tick_count IS 'Number of ticks in the day, whatever they may change.';
COMMENT ON COLUMN one_day_candle.price_count IS 'Number of ticks that formed prices of its minutes.';

-- Candles of trading days, by the calendar of each symbol. Prices are those of regular hours: of the minutes between the first opening
-- and the last closing of the day. The volume is that of the whole day, extended hours included.
-- The close is the official close if there is one. The closing auction is printed seconds after the closing, in a minute that it
-- shares with extended hours, and the listing exchange's official close repeats its price: so high and low contain that, too.
-- Official prices of feeds whose ticks make no candles are not used.
-- A day without prices in regular hours has none, unless it has an official close, which is its only price then.
-- The day is the UTC day for what never closes, and for symbols without a calendar: 24 hours, and not '1 day', which has 23 or 25 where
-- the session's time zone changes its clocks.
-- It takes one index scan per symbol and day: a query should name its symbols, its days, or both.
-- The volume is the sum of the trade sizes; else the growth of the volume of the day, as in one_minute_candle_volume. Its value before
-- the day is looked up where the same count may have begun: after the previous closing, or within a day where there is no pause
-- between two days.
CREATE OR REPLACE VIEW session_day_candle AS
WITH known AS NOT MATERIALIZED (
    SELECT DISTINCT ON (symbol) symbol, calendar
    FROM ticks_platform.symbol_calendar
    ORDER BY symbol, calendar = 'always', feed
),
day AS NOT MATERIALIZED (
    SELECT symbol, calendar, session, min(opens_at) AS opens_at, max(closes_at) AS closes_at,
        min(coalesce(day_begins_at, opens_at)) AS begins_at, max(coalesce(day_ends_at, closes_at)) AS ends_at
    FROM known
    JOIN ticks_platform.market_session USING (calendar)
    WHERE coalesce(day_begins_at, opens_at) <= now()
    GROUP BY symbol, calendar, session
    UNION ALL
    SELECT symbol, 'always', (bucket AT TIME ZONE 'UTC')::date, bucket, bucket + INTERVAL '24 hours', bucket, bucket + INTERVAL '24 hours'
    FROM one_day_candle
    LEFT JOIN known USING (symbol)
    WHERE coalesce(calendar, 'always') = 'always'
)
SELECT
    day.session,
    day.symbol,
    coalesce(candle.open, official.close) AS open,
    greatest(candle.high, official.close, official.high) AS high,
    least(candle.low, official.close, official.low) AS low,
    coalesce(official.close, candle.close) AS close,
    candle.day_volume,
    candle.volume,
    candle.tick_count,
    day.calendar,
    day.opens_at,
    day.closes_at
FROM day
CROSS JOIN LATERAL (
    SELECT CASE WHEN max(closes_at) < day.begins_at THEN max(closes_at) ELSE day.begins_at - INTERVAL '24 hours' END AS since
    FROM (
        SELECT closes_at
        FROM ticks_platform.market_session
        WHERE market_session.calendar = day.calendar AND market_session.opens_at < day.opens_at
        ORDER BY market_session.opens_at DESC
        LIMIT 1
    ) AS closing
) AS before
CROSS JOIN LATERAL (
    SELECT
        first(open, bucket) FILTER (WHERE open IS NOT NULL AND bucket >= day.opens_at AND bucket < day.closes_at) AS open,
        max(high) FILTER (WHERE bucket >= day.opens_at AND bucket < day.closes_at) AS high,
        min(low) FILTER (WHERE bucket >= day.opens_at AND bucket < day.closes_at) AS low,
        last(close, bucket) FILTER (WHERE close IS NOT NULL AND bucket >= day.opens_at AND bucket < day.closes_at) AS close,
        last(day_volume, bucket) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
        sum(coalesce(volume, CASE WHEN day_volume_high > highest THEN day_volume_high - highest WHEN day_volume_high IS NOT NULL THEN 0 END)) AS volume,
        sum(tick_count)::bigint AS tick_count
    FROM (
        SELECT *,
            coalesce(max(day_volume_high) OVER (
                PARTITION BY counting ORDER BY bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ), 0) AS highest
        FROM (
            SELECT *, count(*) FILTER (WHERE day_volume_high < previous / 2.0) OVER (ORDER BY bucket) AS counting
            FROM (
                SELECT *, lag(day_volume_high) OVER (PARTITION BY day_volume_high IS NULL ORDER BY bucket) AS previous
                FROM one_minute_candle
                WHERE one_minute_candle.symbol = day.symbol AND bucket >= before.since AND bucket < day.ends_at
            ) AS minutes
        ) AS counted
    ) AS grown
    WHERE bucket >= day.begins_at
) AS candle
CROSS JOIN LATERAL (
    SELECT
        (array_agg(price ORDER BY kind = 'corrected_close' DESC, is_primary DESC, size DESC NULLS LAST, time DESC))[1] AS close,
        max(price) FILTER (WHERE is_primary) AS high,
        min(price) FILTER (WHERE is_primary) AS low
    FROM official_price
    WHERE official_price.symbol = day.symbol AND official_price.session = day.session AND kind <> 'open' AND day.calendar <> 'always'
        AND feed NOT IN (SELECT feed.feed FROM ticks_platform.feed WHERE NOT candles)
) AS official
WHERE candle.tick_count > 0;

COMMENT ON VIEW session_day_candle IS 'Candles of trading days, by the calendar of each symbol''s exchange.';
COMMENT ON COLUMN session_day_candle.session IS 'The trading day, as the exchange dates it; the UTC day for what never closes.';
COMMENT ON COLUMN session_day_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN session_day_candle.open IS 'First price in regular hours; empty if there is none.';
COMMENT ON COLUMN session_day_candle.high IS 'Highest price in regular hours, the official close included; empty if open is.';
COMMENT ON COLUMN session_day_candle.low IS 'Lowest price in regular hours, the official close included; empty if open is.';
COMMENT ON COLUMN session_day_candle.close IS 'Official close, or the last price in regular hours where there is none; empty if open is.';
COMMENT ON COLUMN session_day_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the day that counts in it.';
COMMENT ON COLUMN session_day_candle.volume IS 'Volume of the whole day, extended hours included; empty where the provider sends neither sizes nor the volume of the day.';
COMMENT ON COLUMN session_day_candle.tick_count IS 'Number of ticks of the whole day, whatever they may change.';
COMMENT ON COLUMN session_day_candle.calendar IS 'The exchange''s MIC, 24/5, or always.';
COMMENT ON COLUMN session_day_candle.opens_at IS 'When regular hours begin.';
COMMENT ON COLUMN session_day_candle.closes_at IS 'When they end, or ended.';

-- Candles of UTC days as if all splits had been executed already. Prices are multiplied by the factors of later splits, volumes divided by
-- them. adj_close is adjusted for later dividends as well.
-- An action applies from the night before its execution date on the symbol's exchange. A UTC day in which that night falls, as in winter the
-- last hour of New York's extended hours does, has prices before and after a split: it is made of its hours, each with its own factor.
CREATE OR REPLACE VIEW one_day_candle_adjusted AS
WITH factors AS NOT MATERIALIZED (
    SELECT symbol,
        array_agg(begins_at ORDER BY begins_at) FILTER (WHERE kind = 'split') AS split_at,
        array_agg(factor ORDER BY begins_at) FILTER (WHERE kind = 'split') AS split_factors,
        array_agg(begins_at ORDER BY begins_at) FILTER (WHERE kind = 'dividend') AS dividend_at,
        array_agg(factor ORDER BY begins_at) FILTER (WHERE kind = 'dividend') AS dividend_factors
    FROM ticks_platform.price_adjustment
    GROUP BY symbol
)
SELECT
    candle.bucket,
    candle.symbol,
    coalesce(hours.open, candle.open * at_end.split_factor) AS open,
    coalesce(hours.high, candle.high * at_end.split_factor) AS high,
    coalesce(hours.low, candle.low * at_end.split_factor) AS low,
    coalesce(hours.close, candle.close * at_end.split_factor) AS close,
    coalesce(hours.day_volume, candle.day_volume / at_end.split_factor) AS day_volume,
    coalesce(hours.volume, candle.volume / at_end.split_factor) AS volume,
    candle.tick_count,
    candle.price_count,
    coalesce(hours.close * hours.dividend_factor, candle.close * at_end.split_factor * at_end.dividend_factor) AS adj_close,
    coalesce(hours.split_factor, at_end.split_factor) AS split_factor,
    coalesce(hours.dividend_factor, at_end.dividend_factor) AS dividend_factor
FROM one_day_candle AS candle
LEFT JOIN factors ON factors.symbol = candle.symbol
CROSS JOIN LATERAL (
    -- width_bucket counts the actions up to a time; the next one has the factor.
    SELECT
        coalesce(split_factors[width_bucket(candle.bucket + INTERVAL '24 hours' - INTERVAL '1 us', split_at) + 1], 1) AS split_factor,
        coalesce(dividend_factors[width_bucket(candle.bucket + INTERVAL '24 hours' - INTERVAL '1 us', dividend_at) + 1], 1) AS dividend_factor,
        coalesce(
            width_bucket(candle.bucket, split_at) <> width_bucket(candle.bucket + INTERVAL '24 hours' - INTERVAL '1 us', split_at), false
        ) OR coalesce(
            width_bucket(candle.bucket, dividend_at) <> width_bucket(candle.bucket + INTERVAL '24 hours' - INTERVAL '1 us', dividend_at), false
        ) AS is_mixed
) AS at_end
CROSS JOIN LATERAL (
    SELECT
        first(open * split, bucket) FILTER (WHERE open IS NOT NULL) AS open,
        max(high * split) AS high,
        min(low * split) AS low,
        last(close * split, bucket) FILTER (WHERE close IS NOT NULL) AS close,
        last(day_volume / split, bucket) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
        sum(volume / split) AS volume,
        last(split, bucket) FILTER (WHERE close IS NOT NULL) AS split_factor,
        last(dividend, bucket) FILTER (WHERE close IS NOT NULL) AS dividend_factor
    FROM (
        SELECT one_hour_candle.*,
            coalesce(split_factors[width_bucket(one_hour_candle.bucket, split_at) + 1], 1) AS split,
            coalesce(dividend_factors[width_bucket(one_hour_candle.bucket, dividend_at) + 1], 1) AS dividend
        FROM one_hour_candle
        WHERE at_end.is_mixed AND one_hour_candle.symbol = candle.symbol
            AND one_hour_candle.bucket >= candle.bucket AND one_hour_candle.bucket < candle.bucket + INTERVAL '24 hours'
    ) AS hour
) AS hours;

COMMENT ON VIEW one_day_candle_adjusted IS 'Candles of UTC days, adjusted for splits; adj_close for splits and dividends.';
COMMENT ON COLUMN one_day_candle_adjusted.bucket IS 'Begin of the day, UTC.';
COMMENT ON COLUMN one_day_candle_adjusted.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_day_candle_adjusted.open IS 'Open of the day, adjusted for splits.';
COMMENT ON COLUMN one_day_candle_adjusted.high IS 'Highest price of the day, adjusted for splits.';
COMMENT ON COLUMN one_day_candle_adjusted.low IS 'Lowest price of the day, adjusted for splits.';
COMMENT ON COLUMN one_day_candle_adjusted.close IS 'Close of the day, adjusted for splits.';
COMMENT ON COLUMN one_day_candle_adjusted.day_volume IS 'Volume of the trading day so far, in shares of today.';
COMMENT ON COLUMN one_day_candle_adjusted.volume IS 'Sum of the trade sizes that count, in shares of today.';
COMMENT ON COLUMN one_day_candle_adjusted.tick_count IS 'Number of ticks in the day, whatever they may change.';
COMMENT ON COLUMN one_day_candle_adjusted.price_count IS 'Number of ticks that formed prices of its minutes.';
COMMENT ON COLUMN one_day_candle_adjusted.adj_close IS 'Close of the day, adjusted for splits and dividends.';
COMMENT ON COLUMN one_day_candle_adjusted.split_factor IS 'What splits after it multiply prices by, and divide volumes by; 1 without any.';
COMMENT ON COLUMN one_day_candle_adjusted.dividend_factor IS 'What dividends after it multiply prices by; 1 without any.';

-- Candles of trading days as if all splits had been executed already. Prices are multiplied by the factors of later splits, volumes divided
-- by them. adj_close is adjusted for later dividends as well. The execution date is the first trading day without its action's factor,
-- pre-market included.
CREATE OR REPLACE VIEW session_day_candle_adjusted AS
WITH factors AS NOT MATERIALIZED (
    SELECT symbol,
        array_agg(execution_date ORDER BY execution_date) FILTER (WHERE kind = 'split') AS split_on,
        array_agg(factor ORDER BY execution_date) FILTER (WHERE kind = 'split') AS split_factors,
        array_agg(execution_date ORDER BY execution_date) FILTER (WHERE kind = 'dividend') AS dividend_on,
        array_agg(factor ORDER BY execution_date) FILTER (WHERE kind = 'dividend') AS dividend_factors
    FROM ticks_platform.price_adjustment
    GROUP BY symbol
)
SELECT
    candle.session,
    candle.symbol,
    candle.open * split_factor AS open,
    candle.high * split_factor AS high,
    candle.low * split_factor AS low,
    candle.close * split_factor AS close,
    candle.day_volume / split_factor AS day_volume,
    candle.volume / split_factor AS volume,
    candle.tick_count,
    candle.calendar,
    candle.opens_at,
    candle.closes_at,
    candle.close * split_factor * dividend_factor AS adj_close,
    split_factor,
    dividend_factor
FROM session_day_candle AS candle
LEFT JOIN factors ON factors.symbol = candle.symbol
CROSS JOIN LATERAL (
    -- width_bucket counts the actions up to a day; the next one has the factor.
    SELECT
        coalesce(split_factors[width_bucket(candle.session, split_on) + 1], 1) AS split_factor,
        coalesce(dividend_factors[width_bucket(candle.session, dividend_on) + 1], 1) AS dividend_factor
) AS later;

COMMENT ON VIEW session_day_candle_adjusted IS 'Candles of trading days, adjusted for splits; adj_close for splits and dividends.';
COMMENT ON COLUMN session_day_candle_adjusted.session IS 'The trading day, as the exchange dates it; the UTC day for what never closes.';
COMMENT ON COLUMN session_day_candle_adjusted.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN session_day_candle_adjusted.open IS 'Open of regular hours, adjusted for splits.';
COMMENT ON COLUMN session_day_candle_adjusted.high IS 'Highest price of regular hours, adjusted for splits.';
COMMENT ON COLUMN session_day_candle_adjusted.low IS 'Lowest price of regular hours, adjusted for splits.';
COMMENT ON COLUMN session_day_candle_adjusted.close IS 'Official close, or the last price in regular hours, adjusted for splits.';
COMMENT ON COLUMN session_day_candle_adjusted.day_volume IS 'Volume of the trading day so far, in shares of today.';
COMMENT ON COLUMN session_day_candle_adjusted.volume IS 'Volume of the whole day, in shares of today.';
COMMENT ON COLUMN session_day_candle_adjusted.tick_count IS 'Number of ticks of the whole day, whatever they may change.';
COMMENT ON COLUMN session_day_candle_adjusted.calendar IS 'The exchange''s MIC, 24/5, or always.';
COMMENT ON COLUMN session_day_candle_adjusted.opens_at IS 'When regular hours begin.';
COMMENT ON COLUMN session_day_candle_adjusted.closes_at IS 'When they end, or ended.';
COMMENT ON COLUMN session_day_candle_adjusted.adj_close IS 'Close, adjusted for splits and dividends.';
COMMENT ON COLUMN session_day_candle_adjusted.split_factor IS 'What splits after it multiply prices by, and divide volumes by; 1 without any.';
COMMENT ON COLUMN session_day_candle_adjusted.dividend_factor IS 'What dividends after it multiply prices by; 1 without any.';

-- Candles of a minute, an hour, a day and a trading day, each with what is proven of it. `proof` is
--   final        it is proven, and its day is trued up
--   proven       it equals all that was received and repaired by `proven_at`, without a gap
--   open         it is not over
--   gap          it was not received for a part of it, and that was not repaired with ticks
--   not_checked  it was not compared with what was received, or something has come since
--   differs      it is not what its ticks make, or these are not what was loaded
-- A query should say which length it wants, and of which time.
-- A day has 24 hours, and not '1 day', which has 23 or 25 where the session's time zone changes its clocks.
CREATE OR REPLACE VIEW proven_candle AS
WITH known AS NOT MATERIALIZED (SELECT * FROM ticks_platform.symbol_proof),
level AS NOT MATERIALIZED (SELECT * FROM ticks_platform.level_unproven),
since AS NOT MATERIALIZED (SELECT * FROM ticks_platform.proven_times)
SELECT
    every, bucket, symbol, open, high, low, close, volume, day_volume, tick_count, price_count, proof,
    CASE WHEN proof IN ('proven', 'final') THEN proven_at END AS proven_at
FROM (
    SELECT
        '1m' AS every, bucket, candle.symbol, open, high, low, close, volume, day_volume, tick_count, price_count,
        proven_at,
        ticks_platform.candle_state(bucket, bucket + INTERVAL '1 minute', received, missing, unproven, wrong + wrong_candles, trued_up, trues_up, is_settled) AS proof
    FROM one_minute_candle AS candle
    CROSS JOIN (SELECT wrong AS wrong_candles FROM level WHERE level.candle = 'one_minute_candle') AS minutes
    LEFT JOIN known ON known.symbol = candle.symbol
    LEFT JOIN ticks_platform.missing_by_day AS gap ON gap.symbol = candle.symbol AND gap.day = time_bucket(INTERVAL '1 day', bucket)
    LEFT JOIN (SELECT begins_at, min(proven_at) AS proven_at FROM since GROUP BY begins_at) AS since
        ON since.begins_at = time_bucket(INTERVAL '10 minutes', bucket)
    UNION ALL
    SELECT
        '1h' AS every, bucket, candle.symbol, open, high, low, close, volume, day_volume, tick_count, price_count,
        proven_at,
        ticks_platform.candle_state(bucket, bucket + INTERVAL '1 hour', received, missing, unproven + unproven_candles, wrong + wrong_candles, trued_up, trues_up, is_settled) AS proof
    FROM one_hour_candle AS candle
    CROSS JOIN (
        SELECT range_agg(wrong) AS wrong_candles, range_agg(level.unproven) AS unproven_candles FROM level WHERE level.candle <> 'one_day_candle'
    ) AS hours
    LEFT JOIN known ON known.symbol = candle.symbol
    LEFT JOIN ticks_platform.missing_by_day AS gap ON gap.symbol = candle.symbol AND gap.day = time_bucket(INTERVAL '1 day', bucket)
    LEFT JOIN (
        SELECT time_bucket(INTERVAL '1 hour', begins_at) AS hour, min(proven_at) AS proven_at FROM since GROUP BY time_bucket(INTERVAL '1 hour', begins_at)
    ) AS since ON since.hour = bucket
    UNION ALL
    SELECT
        '1d' AS every, bucket, candle.symbol, open, high, low, close, volume, day_volume, tick_count, price_count,
        proven_at,
        ticks_platform.candle_state(bucket, bucket + INTERVAL '24 hours', received, missing, unproven + unproven_candles, wrong + wrong_candles, trued_up, trues_up, is_settled) AS proof
    FROM one_day_candle AS candle
    CROSS JOIN (SELECT range_agg(wrong) AS wrong_candles, range_agg(level.unproven) AS unproven_candles FROM level) AS days
    LEFT JOIN known ON known.symbol = candle.symbol
    LEFT JOIN ticks_platform.missing_by_day AS gap ON gap.symbol = candle.symbol AND gap.day = time_bucket(INTERVAL '1 day', bucket)
    LEFT JOIN (
        SELECT time_bucket(INTERVAL '1 day', begins_at) AS day, min(proven_at) AS proven_at FROM since GROUP BY time_bucket(INTERVAL '1 day', begins_at)
    ) AS since ON since.day = bucket
    UNION ALL
    SELECT
        'session' AS every, candle.opens_at AS bucket, candle.symbol, open, high, low, close, volume, day_volume, tick_count, NULL::bigint AS price_count,
        proven_at,
        ticks_platform.candle_state(day.begins_at, day.ends_at, received, missing, unproven, wrong + wrong_candles, trued_up, trues_up, is_settled) AS proof
    FROM session_day_candle AS candle
    CROSS JOIN (SELECT wrong AS wrong_candles FROM level WHERE level.candle = 'one_minute_candle') AS minutes
    CROSS JOIN LATERAL (
        SELECT coalesce(min(day_begins_at), candle.opens_at) AS begins_at, coalesce(max(day_ends_at), candle.closes_at) AS ends_at
        FROM ticks_platform.market_session
        WHERE market_session.calendar = candle.calendar AND market_session.session = candle.session
            AND market_session.opens_at >= candle.opens_at AND market_session.opens_at < candle.closes_at
    ) AS day
    LEFT JOIN known ON known.symbol = candle.symbol
    LEFT JOIN LATERAL (
        SELECT range_agg(missing) AS missing
        FROM ticks_platform.missing_by_day
        WHERE missing_by_day.symbol = candle.symbol
            AND missing_by_day.day >= time_bucket(INTERVAL '1 day', day.begins_at) AND missing_by_day.day < day.ends_at
    ) AS gap ON true
    LEFT JOIN LATERAL (
        SELECT min(proven_at) AS proven_at FROM since WHERE since.begins_at < day.ends_at AND since.ends_at > day.begins_at
    ) AS since ON true
) AS found;

COMMENT ON VIEW proven_candle IS 'Candles with what is proven of them.';
COMMENT ON COLUMN proven_candle.every IS 'The length: 1m, 1h, 1d, or session for trading days.';
COMMENT ON COLUMN proven_candle.bucket IS 'Begin, UTC; of a trading day, when regular hours begin.';
COMMENT ON COLUMN proven_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN proven_candle.open IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.high IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.low IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.close IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.volume IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.day_volume IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.tick_count IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.price_count IS 'As in the candle of that length; empty of trading days.';
COMMENT ON COLUMN proven_candle.proof IS 'final, proven, or why it is not: open, gap, not_checked or differs.';
COMMENT ON COLUMN proven_candle.proven_at IS 'It equals all that was received and repaired by then; empty if it is not proven.';

-- A refresh policy of a candle.
SELECT add_continuous_aggregate_policy(
    'one_hour_candle'::regclass,
    start_offset => '0 days 21600.000000 seconds'::interval::interval,
    end_offset => '0 days 3600.000000 seconds'::interval::interval,
    schedule_interval => '0 days 1800.000000 seconds'::interval::interval
);

-- A refresh policy of a candle.
SELECT add_continuous_aggregate_policy(
    'one_day_candle'::regclass,
    start_offset => '7 days 0.000000 seconds'::interval::interval,
    end_offset => '1 days 3600.000000 seconds'::interval::interval,
    schedule_interval => '0 days 7200.000000 seconds'::interval::interval
);

-- Gives a job its declared terms and removes all others from its configuration. What the job works on stays.
SELECT alter_job(
    job_id,
    schedule_interval => '0 days 7200.000000 seconds'::interval::interval,
    retry_period => '0 days 3600.000000 seconds'::interval::interval,
    max_runtime => '0 days 0.000000 seconds'::interval::interval,
    max_retries =>  -1,
    scheduled => true,
    config => (
        SELECT jsonb_object_agg(key, value)
        FROM (
            SELECT key, value FROM jsonb_each(config) WHERE key IN ('hypertable_id', 'mat_hypertable_id', 'hypertable')
            UNION ALL
            SELECT key, to_jsonb(value) FROM unnest(ARRAY['start_offset','end_offset']::text[], ARRAY['7 days 0.000000 seconds'::interval,'1 days 3600.000000 seconds'::interval]::interval[]) AS term (key, value)
        ) AS wanted
    )
)
FROM timescaledb_information.jobs
WHERE job_id = (SELECT max(job_id) FROM timescaledb_information.jobs);

