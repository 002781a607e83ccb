-- Adds a batch to the hours of event time that its rows are in, in the transaction that stores them. A fingerprint that is not known of
-- all ticks of the hour is not known.
INSERT INTO ticks_platform.feed_hour AS counted
    (feed, destination, hour, loaded, last_received_at, counted_since, changed_at, fingerprint, fingerprint_version)
VALUES %s
ON CONFLICT (feed, destination, hour) DO UPDATE SET
    loaded = counted.loaded + excluded.loaded,
    last_received_at = greatest(counted.last_received_at, excluded.last_received_at),
    changed_at = excluded.changed_at,
    fingerprint = CASE
        WHEN counted.fingerprint_version = excluded.fingerprint_version THEN counted.fingerprint + excluded.fingerprint
    END,
    fingerprint_version = CASE
        WHEN counted.fingerprint_version = excluded.fingerprint_version THEN excluded.fingerprint_version
    END;
