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
