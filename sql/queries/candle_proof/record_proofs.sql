-- Notes what was proven. What is the same candles takes the new account; what has more of them, or others, is a row of its own, and
-- the row before it held until now, or until the last time that it was looked at.
WITH given AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(begins)s::timestamptz[], %(ends)s::timestamptz[], %(feeds)s::text[], %(loaded)s::bigint[], %(gone)s::bigint[],
        %(fingerprints)s::numeric[], %(hashes)s::numeric[], %(proven_at)s::timestamptz[]
    ) AS given (begins_at, ends_at, feed, loaded, gone, fingerprint, hash, proven_at)
),
before AS MATERIALIZED (
    SELECT proof.*, (proof.ends_at, proof.hash) = (given.ends_at, given.hash) AS is_same,
        proof.ends_at < given.ends_at AND proof.hash = ticks_platform.candles_hash(proof.begins_at, proof.ends_at) AS is_longer
    FROM ticks_platform.candle_proof AS proof
    JOIN given USING (begins_at, feed)
    WHERE held_until IS NULL
),
kept AS (
    UPDATE ticks_platform.candle_proof AS proof
    SET loaded = given.loaded, gone = given.gone, fingerprint = given.fingerprint, proven_at = greatest(proof.proven_at, given.proven_at)
    FROM before
    JOIN given USING (begins_at, feed)
    WHERE is_same AND proof.begins_at = before.begins_at AND proof.feed = before.feed AND proof.recorded_at = before.recorded_at
),
ended AS (
    UPDATE ticks_platform.candle_proof AS proof
    SET held_until = CASE WHEN is_longer THEN now()
        ELSE greatest(proof.recorded_at, (SELECT max(recorded_at) FROM ticks_platform.candle_proof)) END
    FROM before
    WHERE NOT is_same AND proof.begins_at = before.begins_at AND proof.feed = before.feed AND proof.recorded_at = before.recorded_at
    RETURNING proof.begins_at, proof.feed
)
INSERT INTO ticks_platform.candle_proof
    (begins_at, ends_at, feed, loaded, gone, fingerprint, hash, proven_at, recorded_at)
SELECT given.begins_at, given.ends_at, given.feed, given.loaded, given.gone, given.fingerprint, given.hash, given.proven_at, now()
FROM given
LEFT JOIN before USING (begins_at, feed)
-- After the end of the row before it.
LEFT JOIN (SELECT begins_at, feed FROM ended ORDER BY begins_at, feed) AS done USING (begins_at, feed)
WHERE is_same IS NOT true
ON CONFLICT DO NOTHING;
