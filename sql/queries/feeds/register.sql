-- Makes a feed known to this database. Rows by hand are of its kind.
WITH by_hand AS (
    UPDATE ticks_platform.feed SET synthetic = %(synthetic)s WHERE feed = 'manual' AND synthetic <> %(synthetic)s
)
INSERT INTO ticks_platform.feed AS known (feed, provider, synthetic, candles)
VALUES (%(feed)s, %(provider)s, %(synthetic)s, %(candles)s)
ON CONFLICT (feed) DO UPDATE SET provider = excluded.provider, candles = excluded.candles,
    candles_changed_at = CASE WHEN known.candles = excluded.candles THEN known.candles_changed_at ELSE clock_timestamp() END;
