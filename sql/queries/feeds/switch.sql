-- Enables or disables a feed, which this database may not know yet.
INSERT INTO ticks_platform.feed (feed, provider, synthetic, enabled)
VALUES (%(feed)s, %(provider)s, %(synthetic)s, %(enabled)s)
ON CONFLICT (feed) DO UPDATE SET enabled = excluded.enabled;
