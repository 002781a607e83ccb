-- Makes a feed known to this database.
INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES (%(feed)s, %(provider)s, %(synthetic)s)
ON CONFLICT (feed) DO UPDATE SET provider = excluded.provider;
