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
