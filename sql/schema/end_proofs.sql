-- Ends the proofs of candles of a time, from the begin of an hour on, that do not hold before its ticks go: ticks have come or were corrected
-- since, or are not those that were loaded. Afterwards nobody could tell them from those that held: what is left of the account is that all is gone.
CREATE OR REPLACE FUNCTION ticks_platform.end_proofs(begins timestamptz, ends timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Of an hour in several chunks, the first to go has the account that is whole.
    UPDATE ticks_platform.candle_proof AS proof
    SET held_until = proof.recorded_at
    FROM ticks_platform.feed_hour AS counted
    WHERE held_until IS NULL AND proof.begins_at >= begins AND proof.begins_at < ends
        AND counted.destination = 'stocks_real_time' AND counted.feed = proof.feed
        AND counted.hour = time_bucket(INTERVAL '1 hour', proof.begins_at) AND counted.hour >= begins
        AND counted.gone < counted.loaded
        AND (
            (proof.loaded, proof.gone, proof.fingerprint) IS DISTINCT FROM (counted.loaded, counted.gone, counted.fingerprint)
            OR EXISTS (
                SELECT FROM ticks_platform.wrong_hour AS wrong
                WHERE wrong.feed = counted.feed AND wrong.hour = counted.hour AND (is_changed OR stored > 0)
            )
        );

    -- Of a day in several chunks, of which some are gone, only what has changed since it was compared.
    DELETE FROM ticks_platform.level_proof AS proof
    USING (
        SELECT
            candle, time_bucket(width, counted.hour) AS bucket, sum(counted.loaded) AS loaded, sum(counted.fingerprint) AS fingerprint,
            count(*) = count(counted.fingerprint) AS is_known,
            bool_or(counted.gone = counted.loaded AND counted.loaded > 0) AS is_partly_gone,
            max(counted.changed_at) FILTER (WHERE counted.hour >= begins AND counted.hour < ends AND counted.gone < counted.loaded) AS changed_at,
            coalesce(bool_or(wrong.is_changed OR wrong.stored > 0) FILTER (WHERE counted.hour >= begins AND counted.hour < ends), false) AS is_wrong
        FROM (VALUES ('one_hour_candle', INTERVAL '1 hour'), ('one_day_candle', INTERVAL '24 hours')) AS level (candle, width)
        JOIN ticks_platform.feed_hour AS counted
            ON counted.hour >= time_bucket(width, begins) AND counted.hour < time_bucket(width, ends - INTERVAL '1 microsecond') + width
        LEFT JOIN ticks_platform.wrong_hour AS wrong USING (feed, hour)
        WHERE counted.destination = 'stocks_real_time' AND isfinite(counted.hour)
        GROUP BY candle, time_bucket(width, counted.hour)
    ) AS account
    WHERE proof.candle = account.candle AND proof.bucket = account.bucket
        AND (
            is_wrong OR changed_at > compared_at
            OR NOT is_partly_gone
                AND (NOT is_known OR (proof.loaded, proof.fingerprint) IS DISTINCT FROM (account.loaded, account.fingerprint))
        );
END
$$;

COMMENT ON FUNCTION ticks_platform.end_proofs IS 'Ends the proofs of candles of a time that do not hold before its ticks go.';
