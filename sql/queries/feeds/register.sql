-- Makes a feed known to this database.
INSERT INTO ticks_platform.feed (feed, provider, synthetic, candles)
VALUES (%(feed)s, %(provider)s, %(synthetic)s, %(candles)s)
ON CONFLICT (feed) DO UPDATE SET provider = excluded.provider, candles = excluded.candles;
