-- The job of a retention policy: drops the chunks of config.hypertable that are older than config.drop_after, but not before the
-- candles are up to them. It refreshes the minutes that are not; where anything else is behind, nothing is dropped.
CREATE OR REPLACE PROCEDURE ticks_platform.drop_old_chunks(job_id integer, config jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    hypertable text := config ->> 'hypertable';
    cutoff timestamptz := now() - (config ->> 'drop_after')::interval;
    begins timestamptz[];
    ends timestamptz[];
    behind record;
    materialization regclass;
    loaded bigint;
    taken_in bigint;
BEGIN
    -- Arrays and not a loop over the query: a refresh commits.
    SELECT array_agg(begins_at), array_agg(ends_at) INTO begins, ends
    FROM ticks_platform.candles_behind(hypertable, cutoff)
    WHERE candle = format('%I.one_minute_candle', current_schema());
    FOR number IN 1 .. coalesce(cardinality(begins), 0) LOOP
        CALL refresh_continuous_aggregate('one_minute_candle', begins[number], ends[number]);
        -- Some releases leave the candles to a transaction of the caller's, but have noted them as refreshed in one before it.
        COMMIT;
    END LOOP;

    SELECT string_agg(DISTINCT candle, ', ') AS names, min(begins_at) AS begins_at, max(ends_at) AS ends_at INTO behind
    FROM ticks_platform.candles_behind(hypertable, cutoff);
    IF behind.names IS NOT NULL THEN
        RAISE EXCEPTION 'nothing of % is dropped: % is not up to its chunks from % to %',
            hypertable, behind.names, behind.begins_at, behind.ends_at
            USING HINT = 'Refresh it there, or drop it; the policy then goes on by itself.';
    END IF;

    -- What the database has noted has been wrong in several releases, so that the ticks themselves are counted.
    IF hypertable = 'stocks_real_time' THEN
        SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
        INTO STRICT materialization
        FROM timescaledb_information.continuous_aggregates
        WHERE view_schema = current_schema() AND view_name = 'one_minute_candle';
        FOR behind IN SELECT * FROM ticks_platform.droppable_chunks(hypertable, cutoff) LOOP
            -- A tick that comes now would be dropped without having been counted: it waits, and finds no chunk or makes a new one.
            EXECUTE (
                SELECT format('LOCK TABLE %I.%I IN SHARE MODE', chunk_schema, chunk_name)
                FROM timescaledb_information.chunks
                WHERE hypertable_schema = current_schema() AND hypertable_name = hypertable AND range_start = behind.begins_at
            );
            SELECT count(*) INTO loaded FROM stocks_real_time WHERE time >= behind.begins_at AND time < behind.ends_at;
            EXECUTE format('SELECT coalesce(sum(tick_count), 0) FROM %s WHERE bucket >= $1 AND bucket < $2', materialization)
            INTO taken_in USING behind.begins_at, behind.ends_at;
            IF loaded <> taken_in THEN
                RAISE EXCEPTION 'nothing of % is dropped: one_minute_candle has % of the % ticks from % to %',
                    hypertable, taken_in, loaded, behind.begins_at, behind.ends_at
                    USING HINT = format(
                        'CALL refresh_continuous_aggregate(''one_minute_candle'', %L, %L, force => true)',
                        behind.begins_at, behind.ends_at
                    );
            END IF;
        END LOOP;
    END IF;

    PERFORM drop_chunks(hypertable::regclass, older_than => cutoff);
END
$$;

-- Alterations of the job by hand are held to this.
CREATE OR REPLACE FUNCTION ticks_platform.check_drop_old_chunks(config jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(config ->> 'hypertable') IS NULL OR coalesce((config ->> 'drop_after')::interval <= INTERVAL '0', true) THEN
        RAISE EXCEPTION 'a retention job needs an existing hypertable and an interval drop_after, not %', config;
    END IF;
END
$$;
