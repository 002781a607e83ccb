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
