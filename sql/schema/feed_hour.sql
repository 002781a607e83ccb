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
