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
            IF hypertable = 'stocks_real_time' THEN
                PERFORM ticks_platform.end_proofs(kept.range_start, kept.range_end);
            END IF;
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
