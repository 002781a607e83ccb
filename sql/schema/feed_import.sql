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
    settled_at      timestamptz,
    -- The symbols of which ticks were read, from the file's begin on: it tells nothing of others. NULL where an older release has read it.
    symbols         text[]
);

-- For tables of releases that did not keep the symbols.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_import'::regclass AND attname = 'symbols') THEN
        ALTER TABLE ticks_platform.feed_import ADD COLUMN symbols text[];
    END IF;
END
$$;

CREATE INDEX IF NOT EXISTS feed_import_unsettled_idx ON ticks_platform.feed_import (feed) WHERE settled_at IS NULL;

COMMENT ON TABLE ticks_platform.feed_import IS 'Files of past data that were imported.';
