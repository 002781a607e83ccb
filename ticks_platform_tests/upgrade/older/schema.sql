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

-- The ticks. The first four columns are those of Timescale's financial-ticks tutorial.
CREATE TABLE IF NOT EXISTS stocks_real_time (
    time         timestamptz      NOT NULL,
    symbol       text             NOT NULL,
    price        double precision,
    day_volume   bigint,
    -- A UUIDv7 (RFC 9562) of event time and arrival: it sorts ticks that share a time stamp, and identifies each permanently.
    tick_id      uuid             NOT NULL,
    size         double precision,
    bid          double precision,
    ask          double precision,
    exchange     text,
    trade_id     text,
    feed         text             NOT NULL,
    received_at  timestamptz      NOT NULL,
    -- A tick from the future would move a candle's watermark permanently. The loader rejects it with a reason; this constraint
    -- is for other writers. Providers have been seen 16 s ahead; five minutes are too many.
    CONSTRAINT not_from_the_future CHECK (time <= received_at + INTERVAL '5 minutes'),
    CONSTRAINT not_before_1990 CHECK (time >= '1990-01-01 00:00:00+00')
);

-- For tables of releases without trades.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF (SELECT count(*) FROM pg_attribute WHERE attrelid = 'stocks_real_time'::regclass AND attname IN ('exchange', 'trade_id')) < 2 THEN
        ALTER TABLE stocks_real_time ADD COLUMN IF NOT EXISTS exchange text, ADD COLUMN IF NOT EXISTS trade_id text;
    END IF;
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

-- The schema of the machinery; what users query is in their own schema.
CREATE SCHEMA IF NOT EXISTS ticks_platform;

-- The feeds that this database knows, and whether each is enabled.
CREATE TABLE IF NOT EXISTS ticks_platform.feed (
    feed       text     PRIMARY KEY,
    provider   text     NOT NULL,
    -- Whether its prices come from the stand-in. A database holds either synthetic or live ticks, never both.
    synthetic  boolean  NOT NULL,
    -- Switched by the jobs enable_feed and disable_feed.
    enabled    boolean  NOT NULL DEFAULT true
);

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
        PRIMARY KEY (feed, destination, hour)
    );

    IF to_regclass('stocks_real_time') IS NULL THEN
        RETURN;
    END IF;
    -- Loaders of an older release would continue without counting. Their leases end here, and runs of this release follow. This
    -- waits for a batch that is being loaded, which is then counted below.
    UPDATE ticks_platform.feed_lease SET epoch = epoch + 1;
    INSERT INTO ticks_platform.feed_hour
    SELECT feed, 'stocks_real_time', time_bucket(INTERVAL '1 hour', time), count(*), max(received_at),
        clock_timestamp(), max(received_at)
    FROM stocks_real_time
    WHERE feed IN (SELECT feed.feed FROM ticks_platform.feed)
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time);
    -- Whether the other rows were dropped or deleted, and when the last of them arrived, is not known.
    INSERT INTO ticks_platform.feed_hour
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

-- What late_refresh has refreshed: for each hour and each day, how many ticks were loaded when its refresh began. The numbers in
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
    reckoned    boolean     NOT NULL DEFAULT false,
    -- Whether earlier coverage is deleted: the gaps before this one are final.
    is_first_kept boolean   NOT NULL DEFAULT false,
    PRIMARY KEY (feed, symbol, begins_at, epoch, connection),
    CONSTRAINT ends_after_it_begins CHECK (ends_at >= begins_at),
    CONSTRAINT ended_by_something CHECK ((ends_at IS NULL) = (ended_by IS NULL))
);

-- For tables of releases that never deleted coverage.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_coverage'::regclass AND attname = 'is_first_kept'
    ) THEN
        ALTER TABLE ticks_platform.feed_coverage ADD COLUMN is_first_kept boolean NOT NULL DEFAULT false;
    END IF;
END
$$;

-- Finds what ends after a moment, or has not ended.
CREATE INDEX IF NOT EXISTS feed_coverage_ends_at_idx ON ticks_platform.feed_coverage (feed, symbol, coalesce(ends_at, 'infinity'));

CREATE INDEX IF NOT EXISTS feed_coverage_not_reckoned_idx ON ticks_platform.feed_coverage (feed) WHERE NOT reckoned;

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
    -- trades | bars
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

-- When the exchanges of the symbols are open, by their calendars: from some days before the first tick to a year ahead. A day with a
-- break at noon has two rows with the same session. What never closes, the calendar `always`, has no rows.
CREATE TABLE IF NOT EXISTS ticks_platform.market_session (
    -- An exchange's MIC, such as XNYS, or 24/5 for currencies.
    calendar   text         NOT NULL,
    opens_at   timestamptz  NOT NULL,
    closes_at  timestamptz  NOT NULL,
    -- The trading day, as dated by the exchange: one that opens in the evening has the date of the next day.
    session    date         NOT NULL,
    PRIMARY KEY (calendar, opens_at),
    CONSTRAINT closes_after_it_opens CHECK (closes_at > opens_at)
);

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

-- Candles of one minute, from the ticks. Buckets are UTC.
-- Open and close are ordered by tick_id: many ticks share a time stamp, and first(price, time) would pick any of them.
-- The last five columns let checks work without reading the ticks.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_minute_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 minute', time) AS bucket,
    symbol,
    first(price, tick_id) AS open,
    max(price) AS high,
    min(price) AS low,
    last(price, tick_id) AS close,
    last(day_volume, tick_id) AS day_volume,
    sum(size) AS volume,
    count(*) AS tick_count,
    min(time) AS first_time,
    max(time) AS last_time,
    min(day_volume) AS day_volume_low,
    max(day_volume) AS day_volume_high
FROM stocks_real_time
GROUP BY time_bucket(INTERVAL '1 minute', time), symbol
WITH NO DATA;

COMMENT ON COLUMN one_minute_candle.bucket IS 'Begin of the minute, UTC.';
COMMENT ON COLUMN one_minute_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_minute_candle.open IS 'Price of the first tick of the minute.';
COMMENT ON COLUMN one_minute_candle.high IS 'Highest price of the minute.';
COMMENT ON COLUMN one_minute_candle.low IS 'Lowest price of the minute.';
COMMENT ON COLUMN one_minute_candle.close IS 'Price of the last tick of the minute.';
COMMENT ON COLUMN one_minute_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the minute.';
COMMENT ON COLUMN one_minute_candle.volume IS 'Sum of the trade sizes of the minute; empty where the provider sends no sizes.';
COMMENT ON COLUMN one_minute_candle.tick_count IS 'Number of ticks in the minute.';
COMMENT ON COLUMN one_minute_candle.first_time IS 'Event time of the first tick.';
COMMENT ON COLUMN one_minute_candle.last_time IS 'Event time of the last tick.';
COMMENT ON COLUMN one_minute_candle.day_volume_low IS 'Lowest day_volume of the minute.';
COMMENT ON COLUMN one_minute_candle.day_volume_high IS 'Highest day_volume of the minute.';

-- The volume of each minute: the sum of the trade sizes where the feed sends them. Where it sends only the volume of the day so far,
-- the growth of that since the previous candle (last minus first within a minute would miss what was traded between two ticks of
-- different minutes). Empty where it sends neither.
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
COMMENT ON COLUMN one_minute_candle_volume.volume IS 'Volume of the minute; empty where the provider sends neither sizes nor the volume of the day.';
COMMENT ON COLUMN one_minute_candle_volume.derived IS 'Whether the volume is derived from the volume of the day.';

-- The candles of one minute, with the provider's bars in the minutes of a gap, unless the gap was repaired with ticks. `source` tells
-- which is which; a bar is never stored as a candle.
CREATE OR REPLACE VIEW one_minute_candle_filled AS
WITH bar AS NOT MATERIALIZED (
    SELECT DISTINCT ON (symbol, start_time) *
    FROM stock_aggregates AS bars
    WHERE end_time = start_time + INTERVAL '1 minute'
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
--   no_trade       it was received for the whole bucket, and there was no trade
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
        SELECT DISTINCT time_bucket(width, known.bucket) AS begin
        FROM one_minute_candle AS known
        WHERE known.symbol = of_symbol AND known.bucket >= time_bucket(width, begins) AND known.bucket < ends + width
    ),
    wanted AS MATERIALIZED (
        SELECT feed, wanted_from, coalesce(wanted_until, 'infinity') AS wanted_until, calendar
        FROM ticks_platform.feed_symbol AS known
        WHERE known.symbol = of_symbol AND wanted_from < ends + width AND coalesce(wanted_until, 'infinity') > begins - width
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
            WHEN candle.begin IS NOT NULL THEN 'candle'
            WHEN until > clock_timestamp() THEN 'not_over'
            WHEN feeds = 0 THEN 'not_wanted'
            WHEN open = 0 THEN 'market_closed'
            WHEN listening = 0 THEN 'feed_gap'
            ELSE 'no_trade'
        END
    FROM judged
    LEFT JOIN candle ON candle.begin = judged.begin
    ORDER BY judged.begin
$$;

COMMENT ON FUNCTION ticks_platform.candle_reasons IS 'For each bucket of a symbol: candle, no_trade, market_closed, feed_gap, not_wanted or not_over.';

-- Why a symbol has no candle in the bucket that holds this time; see candle_reasons for the answers.
CREATE OR REPLACE FUNCTION ticks_platform.why_no_candle(
    of_symbol text, at timestamptz, width interval DEFAULT '1 minute'
) RETURNS text
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT reason
    FROM ticks_platform.candle_reasons(of_symbol, time_bucket(width, at), time_bucket(width, at) + width, width)
$$;

COMMENT ON FUNCTION ticks_platform.why_no_candle IS 'Why a symbol has no candle in a bucket: no_trade, market_closed, feed_gap, not_wanted, not_over; or candle.';

-- Candles of one hour, from the candles of one minute. Buckets are UTC.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_hour_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 hour', bucket) AS bucket,
    symbol,
    first(open, bucket) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) AS close,
    last(day_volume, bucket) AS day_volume,
    sum(volume) AS volume,
    sum(tick_count)::bigint AS tick_count
FROM one_minute_candle
GROUP BY time_bucket(INTERVAL '1 hour', bucket), symbol
WITH NO DATA;

COMMENT ON COLUMN one_hour_candle.bucket IS 'Begin of the hour, UTC.';
COMMENT ON COLUMN one_hour_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_hour_candle.open IS 'Price of the first tick of the hour.';
COMMENT ON COLUMN one_hour_candle.high IS 'Highest price of the hour.';
COMMENT ON COLUMN one_hour_candle.low IS 'Lowest price of the hour.';
COMMENT ON COLUMN one_hour_candle.close IS 'Price of the last tick of the hour.';
COMMENT ON COLUMN one_hour_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the hour.';
COMMENT ON COLUMN one_hour_candle.volume IS 'Sum of the trade sizes of the hour; empty where the provider sends no sizes.';
COMMENT ON COLUMN one_hour_candle.tick_count IS 'Number of ticks in the hour.';

-- A refresh policy of a candle.
SELECT add_continuous_aggregate_policy(
    'one_minute_candle'::regclass,
    start_offset => '1 days 7200.000000 seconds'::interval::interval,
    end_offset => '0 days 90.000000 seconds'::interval::interval,
    schedule_interval => '0 days 120.000000 seconds'::interval::interval
);

-- Candles of one day, from the candles of one hour. Days are UTC; for an exchange's own trading days see session_day_candle.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_day_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 day', bucket) AS bucket,
    symbol,
    first(open, bucket) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) AS close,
    last(day_volume, bucket) AS day_volume,
    sum(volume) AS volume,
    sum(tick_count)::bigint AS tick_count
FROM one_hour_candle
GROUP BY time_bucket(INTERVAL '1 day', bucket), symbol
WITH NO DATA;

COMMENT ON COLUMN one_day_candle.bucket IS 'Begin of the day, UTC.';
COMMENT ON COLUMN one_day_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_day_candle.open IS 'Price of the first tick of the day.';
COMMENT ON COLUMN one_day_candle.high IS 'Highest price of the day.';
COMMENT ON COLUMN one_day_candle.low IS 'Lowest price of the day.';
COMMENT ON COLUMN one_day_candle.close IS 'Price of the last tick of the day.';
COMMENT ON COLUMN one_day_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the UTC day.';
COMMENT ON COLUMN one_day_candle.volume IS 'Sum of the trade sizes of the day; empty where the provider sends no sizes.';
COMMENT ON COLUMN one_day_candle.tick_count IS 'Number of ticks in the day.';

-- Candles of trading days, by the calendar of each symbol: from the minutes between the first opening and the last closing of the day.
-- The day is the UTC day for what never closes, and for symbols without a calendar.
-- It takes one index scan per symbol and day: a query should name its symbols, its days, or both.
-- The volume is the sum of the trade sizes; else the growth of the volume of the day, as in one_minute_candle_volume. Its value before
-- the opening is looked up where the same day may have begun to be counted: after the previous closing, or within a day where there
-- is no pause between two days.
CREATE OR REPLACE VIEW session_day_candle AS
WITH known AS NOT MATERIALIZED (
    SELECT DISTINCT ON (symbol) symbol, calendar
    FROM ticks_platform.symbol_calendar
    ORDER BY symbol, calendar = 'always', feed
),
day AS NOT MATERIALIZED (
    SELECT symbol, calendar, session, min(opens_at) AS opens_at, max(closes_at) AS closes_at
    FROM known
    JOIN ticks_platform.market_session USING (calendar)
    WHERE opens_at <= now()
    GROUP BY symbol, calendar, session
    UNION ALL
    SELECT symbol, 'always', (bucket AT TIME ZONE 'UTC')::date, bucket, bucket + INTERVAL '1 day'
    FROM one_day_candle
    LEFT JOIN known USING (symbol)
    WHERE coalesce(calendar, 'always') = 'always'
)
SELECT
    day.session,
    day.symbol,
    candle.open,
    candle.high,
    candle.low,
    candle.close,
    candle.day_volume,
    candle.volume,
    candle.tick_count,
    day.calendar,
    day.opens_at,
    day.closes_at
FROM day
CROSS JOIN LATERAL (
    SELECT CASE WHEN max(closes_at) < day.opens_at THEN max(closes_at) ELSE day.opens_at - INTERVAL '1 day' END AS since
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
        first(open, bucket) AS open,
        max(high) AS high,
        min(low) AS low,
        last(close, bucket) AS close,
        last(day_volume, bucket) AS day_volume,
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
                WHERE one_minute_candle.symbol = day.symbol AND bucket >= before.since AND bucket < day.closes_at
            ) AS minutes
        ) AS counted
    ) AS grown
    WHERE bucket >= day.opens_at
) AS candle
WHERE candle.tick_count > 0;

COMMENT ON VIEW session_day_candle IS 'Candles of trading days, by the calendar of each symbol''s exchange.';
COMMENT ON COLUMN session_day_candle.session IS 'The trading day, as the exchange dates it; the UTC day for what never closes.';
COMMENT ON COLUMN session_day_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN session_day_candle.open IS 'Price of the first tick in session.';
COMMENT ON COLUMN session_day_candle.high IS 'Highest price in session.';
COMMENT ON COLUMN session_day_candle.low IS 'Lowest price in session.';
COMMENT ON COLUMN session_day_candle.close IS 'Price of the last tick in session; a closing auction that is printed after the close is not included.';
COMMENT ON COLUMN session_day_candle.day_volume IS 'Volume of the trading day so far, at the last tick in session.';
COMMENT ON COLUMN session_day_candle.volume IS 'Volume in session; empty where the provider sends neither sizes nor the volume of the day.';
COMMENT ON COLUMN session_day_candle.tick_count IS 'Number of ticks in session.';
COMMENT ON COLUMN session_day_candle.calendar IS 'The exchange''s MIC, 24/5, or always.';
COMMENT ON COLUMN session_day_candle.opens_at IS 'When the day opened.';
COMMENT ON COLUMN session_day_candle.closes_at IS 'When it closes, or closed.';

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

