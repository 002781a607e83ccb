-- The proofs of candles of a minute that hold now.
CREATE OR REPLACE VIEW ticks_platform.proven_times AS
SELECT proof.begins_at, proof.ends_at, proof.feed, proof.proven_at
FROM ticks_platform.candle_proof AS proof
JOIN ticks_platform.feed_hour AS counted
    ON counted.feed = proof.feed AND destination = 'stocks_real_time' AND hour = time_bucket(INTERVAL '1 hour', proof.begins_at)
WHERE held_until IS NULL
    AND CASE
        WHEN proof.loaded = counted.loaded
            -- What retention dropped was proven before.
            AND ((proof.gone, proof.fingerprint) IS NOT DISTINCT FROM (counted.gone, counted.fingerprint) OR counted.gone = counted.loaded)
            THEN true
        ELSE proof.begins_at >= now() - INTERVAL '3 hours' AND proof.hash = ticks_platform.candles_hash(proof.begins_at, proof.ends_at)
    END;

COMMENT ON VIEW ticks_platform.proven_times IS 'Times of which the candles equal all that was received of a feed, and repaired, by proven_at.';
COMMENT ON COLUMN ticks_platform.proven_times.begins_at IS 'Begin of ten minutes.';
COMMENT ON COLUMN ticks_platform.proven_times.ends_at IS 'Until when they are proven.';
COMMENT ON COLUMN ticks_platform.proven_times.feed IS 'As named in feeds.yaml.';
COMMENT ON COLUMN ticks_platform.proven_times.proven_at IS 'The candles equal all that was received and repaired by then.';
