-- The symbols that the feeds stream, and the names of their companies.
CREATE TABLE IF NOT EXISTS company (
    symbol  text PRIMARY KEY,
    name    text NOT NULL
);

COMMENT ON TABLE company IS 'Symbols and the names of their companies.';
COMMENT ON COLUMN company.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN company.name IS 'Name of the company or instrument.';

-- The extension. On a managed server it may have to be allowed first; see the documentation of the service.
CREATE EXTENSION IF NOT EXISTS timescaledb;

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
-- refuses what a loader of that release sends: eight bytes that are a whole number and not a fraction.
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
    NEW.day_volume_whole := CASE WHEN abs(NEW.day_volume) < 9e18 THEN NEW.day_volume END;
    RETURN NEW;
END
$$;

-- The ticks. The first four columns are those of Timescale's financial-ticks tutorial.
CREATE TABLE IF NOT EXISTS stocks_real_time (
    time         timestamptz      NOT NULL,
    symbol       text             NOT NULL,
    price        double precision,
    day_volume   double precision,
    -- A UUIDv7 (RFC 9562) of event time and arrival: it sorts ticks that share a time stamp, and identifies each permanently.
    tick_id      uuid             NOT NULL,
    size         double precision,
    bid          double precision,
    ask          double precision,
    exchange     text,
    trade_id     text,
    feed         text             NOT NULL,
    received_at  timestamptz      NOT NULL,
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
COMMENT ON COLUMN stocks_real_time.tick_id IS 'UUIDv7 of event time and arrival: identifies the tick permanently, and sorts ticks that share a time stamp.';
COMMENT ON COLUMN stocks_real_time.size IS 'Size of this trade, where the provider sends trades.';
COMMENT ON COLUMN stocks_real_time.bid IS 'Best bid, where the provider sends it.';
COMMENT ON COLUMN stocks_real_time.ask IS 'Best ask, where the provider sends it.';
COMMENT ON COLUMN stocks_real_time.exchange IS 'Where it traded, as the provider numbers or names it; with the TRF behind a slash for off-exchange trades.';
COMMENT ON COLUMN stocks_real_time.trade_id IS 'The provider''s id of the trade: unique per symbol, exchange and day.';
COMMENT ON COLUMN stocks_real_time.feed IS 'Feed that brought it, as named in feeds.yaml.';
COMMENT ON COLUMN stocks_real_time.received_at IS 'When it reached our socket.';
COMMENT ON COLUMN stocks_real_time.updates IS 'What it may change in a candle: 1 open and close, 2 high and low, 4 volume; 8 cancelled, 16 of a secondary feed. Empty for everything.';
COMMENT ON COLUMN stocks_real_time.conditions IS 'Conditions of the trade, as the provider numbers them; see ticks_platform.trade_condition.';
COMMENT ON COLUMN stocks_real_time.received_at_raw IS 'When it reached our socket by the clock of this machine, where that was wrong and received_at was corrected.';

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

-- The feeds that this database knows, and whether each is enabled.
CREATE TABLE IF NOT EXISTS ticks_platform.feed (
    feed       text     PRIMARY KEY,
    provider   text     NOT NULL,
    -- Whether its prices come from the stand-in. A database holds either synthetic or live ticks, never both.
    synthetic  boolean  NOT NULL,
    -- Switched by the jobs enable_feed and disable_feed.
    enabled    boolean  NOT NULL DEFAULT true,
    -- Whether its ticks make candles, as feeds.yaml said at its last start; if not, it is secondary.
    candles    boolean  NOT NULL DEFAULT true
);

-- For tables of releases without secondary feeds.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed'::regclass AND attname = 'candles') THEN
        ALTER TABLE ticks_platform.feed ADD COLUMN candles boolean NOT NULL DEFAULT true;
    END IF;
END
$$;

-- One writer per feed: the owner with the highest epoch. Every loading transaction checks its own epoch against this row.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_lease (
    feed          text        PRIMARY KEY REFERENCES ticks_platform.feed,
    epoch         bigint      NOT NULL,
    owner         text        NOT NULL,
    taken_at      timestamptz NOT NULL,
    heartbeat_at  timestamptz NOT NULL,
    released_at   timestamptz,
    -- The journal that the owner appends to, one of the feed's journals on its machine.
    journal_id    uuid
);

-- For tables of releases in which a feed had one journal on a machine.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_lease'::regclass AND attname = 'journal_id') THEN
        ALTER TABLE ticks_platform.feed_lease ADD COLUMN journal_id uuid;
    END IF;
END
$$;

-- Planned hand-overs of a feed from one owner to the next: both receive for some seconds, and what both received is stored once.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_handover (
    feed                 text        NOT NULL REFERENCES ticks_platform.feed,
    -- The successor's, reserved at the begin: what it receives from then on is accounted for under this epoch.
    epoch                bigint      NOT NULL,
    successor            text        NOT NULL,
    journal_id           uuid        NOT NULL,
    predecessor          text        NOT NULL,
    predecessor_epoch    bigint      NOT NULL,
    predecessor_journal  uuid,
    begun_at             timestamptz NOT NULL,
    -- When the successor took the lease; until then the predecessor continues.
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
    committed_at    timestamptz NOT NULL
);

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

-- How many ticks of each UTC hour of event time were loaded, by feed and table. It is added to in the transaction that stores the
-- rows and nothing is ever taken away, so it agrees with the ledger also after retention has dropped chunks, and one hour of it can
-- be compared with one hour of the table.
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
        -- Sum of the hashes of its ticks; NULL where it was not computed.
        fingerprint          numeric,
        -- The version of the formula of the fingerprint.
        fingerprint_version  smallint,
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

-- When each symbol of a feed was in feeds.yaml: at other times, nothing of it can be missing.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_symbol (
    feed          text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol        text        NOT NULL,
    wanted_from   timestamptz NOT NULL,
    -- NULL while it is in feeds.yaml.
    wanted_until  timestamptz,
    -- The calendar of its sessions: `always`, or as in market_session.
    calendar      text        NOT NULL,
    -- Why the provider does not stream it, in the provider's words; NULL when it does, or has not answered.
    refusal       text,
    PRIMARY KEY (feed, symbol, wanted_from)
);

-- When each symbol of a feed was received: one row from an acknowledged subscription, or from the first tick after a silence, to the
-- last moment up to which all that the provider sent has arrived. Owners of a feed may overlap for moments, and so may connections:
-- a time is covered when any of them covers it. Times are those of arrival, by the clock of the receiving machine; intervals are
-- half-open.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_coverage (
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol      text        NOT NULL,
    begins_at   timestamptz NOT NULL,
    -- NULL while it lasts, as far as this database knows.
    ends_at     timestamptz,
    -- disconnected | stalled | silent | unsubscribed | refused | stopped | switched_off | killed. Coverage of an owner that was killed
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
    raw             bytea       NOT NULL,
    PRIMARY KEY (journal_number, position)
);

-- What was fetched, and is to be fetched, from a provider's history: one row per symbol and range of event time. No two ranges of a
-- kind overlap unless one of them has failed, so nothing is fetched twice.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair (
    repair_id   bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol      text        NOT NULL,
    -- trades | bars: of a gap, or of a day that was selected; true_up_bars | true_up_trades: see feed_true_up
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

-- Requests to providers' histories in the last days. They are counted before they are made, so neither a restart nor a crash renews a
-- budget.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair_request (
    request_id  bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- Provider, and the name of the variable that holds the key: limits apply to these.
    account     text        NOT NULL,
    repair_id   bigint      NOT NULL REFERENCES ticks_platform.feed_repair,
    -- Who made it.
    owner       text        NOT NULL,
    at          timestamptz NOT NULL,
    -- What came of it; NULL while it is under way, or when its run was killed.
    outcome     text,
    -- The provider accepts no other request before this time.
    pause_until timestamptz
);

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

-- When the exchanges of the symbols are open, by their calendars: from some days before the first tick to a year ahead. A day with a
-- break at noon has two rows with the same session. What never closes, the calendar `always`, has no rows.
CREATE TABLE IF NOT EXISTS ticks_platform.market_session (
    -- An exchange's MIC, such as XNYS, or 24/5 for currencies.
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

-- The calendar of every symbol in feeds.yaml. One that left feeds.yaml stays until another feed has it: its candles stay, and so do
-- its session days.
CREATE TABLE IF NOT EXISTS ticks_platform.symbol_calendar (
    feed      text  NOT NULL,
    -- As the ticks call it.
    symbol    text  NOT NULL,
    -- As in market_session, or `always`.
    calendar  text  NOT NULL,
    PRIMARY KEY (feed, symbol)
);
CREATE INDEX IF NOT EXISTS symbol_calendar_symbol_idx ON ticks_platform.symbol_calendar (symbol);

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

-- Candles of one minute, from the ticks. Buckets are UTC.
-- Open and close are ordered by tick_id: many ticks share a time stamp, and first(price, time) would pick any of them.
-- Each value is made of the ticks that may change it, by the bits of stocks_real_time.updates; the masks ask for one bit, and for 8
-- (cancelled) and 16 (secondary) to be clear. Most ticks have NULL, which IS NULL finds a fifth faster than coalesce().
-- A minute has four prices, or none if no tick of it may open or close; aggregates that are written alike are computed once.
-- Trades have no day_volume, and first() and last() are the dearest aggregates: so last() is not given such ticks.
-- The last four columns let checks work without reading the ticks.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_minute_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 minute', time) AS bucket,
    symbol,
    first(price, tick_id) FILTER (WHERE updates IS NULL OR updates & 25 = 1) AS open,
    CASE WHEN first(price, tick_id) FILTER (WHERE updates IS NULL OR updates & 25 = 1) IS NOT NULL
        THEN max(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) END AS high,
    CASE WHEN first(price, tick_id) FILTER (WHERE updates IS NULL OR updates & 25 = 1) IS NOT NULL
        THEN min(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) END AS low,
    last(price, tick_id) FILTER (WHERE updates IS NULL OR updates & 25 = 1) AS close,
    last(day_volume, tick_id) FILTER (WHERE day_volume IS NOT NULL AND (updates IS NULL OR updates & 28 = 4)) AS day_volume,
    sum(size) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS volume,
    count(*) AS tick_count,
    CASE WHEN first(price, tick_id) FILTER (WHERE updates IS NULL OR updates & 25 = 1) IS NOT NULL
        THEN count(*) FILTER (WHERE updates IS NULL OR updates & 26 = 2) ELSE 0 END AS price_count,
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
-- dropped.
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
        END LOOP;
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

-- For each bucket of a symbol in a time: `candle` where there is one, else why there is none. A bucket is a multiple of minutes, UTC.
--   not_wanted     no feed streamed the symbol
--   not_over       it lies in the future, or has not ended
--   market_closed  the market of every feed that streams it was closed
--   feed_gap       it was not received for a part of the bucket, and that has not been repaired
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
        SELECT begin, begin + width AS until
        FROM generate_series(time_bucket(width, begins), ends - INTERVAL '1 microsecond', width) AS series (begin)
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
        SELECT feed, begins_at, coalesce(ends_at, 'infinity') AS ends_at
        FROM ticks_platform.feed_gap AS known
        WHERE known.feed IN (SELECT feed FROM wanted) AND known.symbol = of_symbol AND state <> 'repaired'
            AND coalesce(ends_at, 'infinity') > begins - width AND begins_at < ends + width
        UNION ALL
        -- An owner that is presumed dead: the end of its coverage is not recorded yet.
        SELECT feed, heartbeat_at, 'infinity'
        FROM ticks_platform.feed_lease
        WHERE feed IN (SELECT feed FROM wanted) AND released_at IS NULL
            AND heartbeat_at < clock_timestamp() - INTERVAL '30 seconds'
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
            ELSE 'no_trade'
        END
    FROM judged
    LEFT JOIN candle ON candle.begin = judged.begin
    ORDER BY judged.begin
$$;

COMMENT ON FUNCTION ticks_platform.candle_reasons IS 'For each bucket of a symbol: candle, no_trade, no_price, market_closed, feed_gap, not_wanted or not_over.';

-- Why a symbol has no prices in the bucket that holds this time; see candle_reasons for the answers.
CREATE OR REPLACE FUNCTION ticks_platform.why_no_candle(
    of_symbol text, at timestamptz, width interval DEFAULT '1 minute'
) RETURNS text
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT reason
    FROM ticks_platform.candle_reasons(of_symbol, time_bucket(width, at), time_bucket(width, at) + width, width)
$$;

COMMENT ON FUNCTION ticks_platform.why_no_candle IS 'Why a symbol has no prices in a bucket: no_trade, no_price, market_closed, feed_gap, not_wanted, not_over; or candle.';

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
                coalesce(updates, 7) & 25 = 1 AS opens,
                coalesce(updates, 7) & 26 = 2 AS extends,
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
                    first(tick_id, tick_id) AS first_id,
                    last(tick_id, tick_id) AS last_id,
                    last(day_volume, tick_id) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
                    last(tick_id, tick_id) FILTER (WHERE day_volume IS NOT NULL) AS day_volume_id,
                    array_agg(tick_id) FILTER (WHERE updates & 8 > 0) AS cancelled,
                    count(*) FILTER (WHERE received_at >= $4) AS late,
                    max(received_at) AS received_at
                FROM stocks_real_time
                WHERE symbol = $1 AND time >= $2 AND time < $3
                    -- Of a single minute, the planner drops this, and estimates better.
                    AND ($3 - $2 <= INTERVAL '1 minute' OR time >= minute AND time < minute + INTERVAL '1 minute')
                GROUP BY feed, updates, conditions
            ) AS counted
        ),
        -- Four prices or none: a minute without a tick that may open or close has none, and gives none to its hour.
        minutes AS MATERIALIZED (
            SELECT
                minute,
                bool_or(opens) AS has_prices,
                first(first_id, first_id) FILTER (WHERE opens) AS open_id,
                last(last_id, last_id) FILTER (WHERE opens) AS close_id,
                max(high) FILTER (WHERE extends) AS high,
                min(low) FILTER (WHERE extends) AS low,
                sum(volume) FILTER (WHERE counts) AS volume,
                last(day_volume, day_volume_id) FILTER (WHERE day_volume IS NOT NULL AND counts) AS day_volume,
                sum(ticks) AS tick_count,
                sum(ticks) FILTER (WHERE extends) AS price_count
            FROM grouped
            GROUP BY minute
        ),
        candle AS MATERIALIZED (
            SELECT
                first(open_id, minute) FILTER (WHERE has_prices) AS open_id,
                first(minute, minute) FILTER (WHERE has_prices) AS open_minute,
                last(close_id, minute) FILTER (WHERE has_prices) AS close_id,
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
                NOT (opens AND has_prices) AND (candle.open_id IS NULL OR grouped.first_id < candle.open_id) AS before_open,
                NOT (opens AND has_prices) AND (candle.close_id IS NULL OR grouped.last_id > candle.close_id) AS after_close,
                NOT (extends AND has_prices) AND (candle.high IS NULL OR grouped.high > candle.high) AS above,
                NOT (extends AND has_prices) AND (candle.low IS NULL OR grouped.low < candle.low) AS below
            FROM grouped
            JOIN minutes USING (minute)
            CROSS JOIN candle
        ),
        -- The ticks to show, and the minute that each is in: by tick_id, or the first one with this price.
        sought (price_of, reason, minute, tick_id, price) AS MATERIALIZED (
            SELECT 'open', NULL, open_minute, open_id, NULL::double precision FROM candle WHERE open_id IS NOT NULL
            UNION ALL
            SELECT 'close', NULL, close_minute, close_id, NULL FROM candle WHERE close_id IS NOT NULL
            UNION ALL
            (SELECT 'high', NULL, minute, NULL, high FROM minutes JOIN candle USING (high) WHERE has_prices ORDER BY minute LIMIT 1)
            UNION ALL
            (SELECT 'low', NULL, minute, NULL, low FROM minutes JOIN candle USING (low) WHERE has_prices ORDER BY minute LIMIT 1)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'open', reason, minute, first_id, NULL FROM left_out WHERE before_open ORDER BY reason, first_id)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'close', reason, minute, last_id, NULL FROM left_out WHERE after_close ORDER BY reason, last_id DESC)
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
                    time, price, size, exchange, trade_id, tick_id, feed, received_at, conditions,
                    coalesce(updates, 7) & 25 = 1 AS opens,
                    coalesce(updates, 7) & 26 = 2 AS extends,
                    CASE WHEN updates & 16 > 0 THEN 'secondary' WHEN updates & 8 > 0 THEN 'cancelled' ELSE 'conditions' END AS reason
                FROM stocks_real_time
                WHERE symbol = $1 AND time >= $2 AND time < $3
                    AND ($3 - $2 <= INTERVAL '1 minute' OR time >= minute AND time < minute + INTERVAL '1 minute')
                    AND (
                        price = ANY ((SELECT array_agg(price) FROM sought WHERE price IS NOT NULL)::double precision[])
                        OR tick_id = ANY ((SELECT array_agg(tick_id) FROM sought WHERE tick_id IS NOT NULL)::uuid[])
                    )
            ) AS tick
        ),
        shown AS MATERIALIZED (
            SELECT DISTINCT ON (price_of, sought.reason)
                price_of,
                sought.reason,
                jsonb_build_object(
                    'time', time, 'price', candidate.price, 'size', size, 'exchange', exchange, 'trade_id', trade_id,
                    'tick_id', candidate.tick_id, 'feed', feed, 'received_at', received_at,
                    'conditions', ticks_platform.explain_conditions(conditions, feed, time)
                ) AS tick
            FROM sought
            JOIN candidate ON candidate.minute = sought.minute
                AND (sought.tick_id IS NULL OR candidate.tick_id = sought.tick_id)
                AND (
                    sought.price IS NULL
                    OR candidate.price = sought.price AND CASE
                        WHEN sought.reason IS NULL THEN extends
                        ELSE candidate.reason = sought.reason AND NOT (extends AND EXISTS (
                            SELECT FROM minutes WHERE minutes.minute = candidate.minute AND has_prices
                        ))
                    END
                )
            ORDER BY price_of, sought.reason, candidate.tick_id
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
                    tick || jsonb_build_object('would_be', price_of, 'reason', reason) ORDER BY reason, tick ->> 'tick_id', price_of
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
                    ORDER BY tick.tick_id DESC
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

-- How a symbol was received in a time: feeds that were to stream it, what of the time each covered, gaps, rejected events, and the
-- provider's bars of minutes rolled up. explain_candle calls it.
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
            JOIN ticks_platform.feed_coverage AS coverage
                ON coverage.feed = wanted.feed AND coverage.symbol = $1 AND begins_at < $3 AND coalesce(ends_at, 'infinity') > $2
            GROUP BY wanted.feed
        ),
        gap AS MATERIALIZED (
            SELECT feed_gap.*
            FROM ticks_platform.feed
            JOIN ticks_platform.feed_gap USING (feed)
            WHERE symbol = $1 AND begins_at < $3 AND coalesce(ends_at, 'infinity') > $2
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
    ends CONSTANT timestamptz := begins + explain_candle.width;
    view_name text;
    stored jsonb;
    compared jsonb;
    ticks jsonb;
    refresh jsonb;
    reception jsonb;
    official jsonb;
    hours jsonb;
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
        'differs_from_its_ticks', ticks_platform.explain_difference(stored, ticks -> 'recomputed'),
        'refresh', refresh,
        'sessions', coalesce(hours, '[]'),
        'official_prices', official
    ) || coalesce(ticks, '{"recomputed": null}') || reception;
END
$$;

COMMENT ON FUNCTION explain_candle IS 'Where the candle of a symbol in a bucket comes from, and what was left out of it; or why there is none.';

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
-- The day is the UTC day for what never closes, and for symbols without a calendar.
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
    SELECT symbol, 'always', (bucket AT TIME ZONE 'UTC')::date, bucket, bucket + INTERVAL '1 day', bucket, bucket + INTERVAL '1 day'
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
    SELECT CASE WHEN max(closes_at) < day.begins_at THEN max(closes_at) ELSE day.begins_at - INTERVAL '1 day' END AS since
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

