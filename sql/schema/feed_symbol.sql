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
