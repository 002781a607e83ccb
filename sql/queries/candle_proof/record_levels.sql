-- Notes hours or days whose candles are those of the finer ones.
INSERT INTO ticks_platform.level_proof (candle, bucket, loaded, fingerprint, compared_at)
SELECT %(candle)s, bucket, loaded, fingerprint, now()
FROM unnest(%(buckets)s::timestamptz[], %(loaded)s::numeric[], %(fingerprints)s::numeric[]) AS given (bucket, loaded, fingerprint)
ORDER BY bucket
ON CONFLICT (candle, bucket) DO UPDATE
SET loaded = excluded.loaded, fingerprint = excluded.fingerprint, compared_at = excluded.compared_at;
