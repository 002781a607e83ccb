-- Records the state of channels of a feed.
INSERT INTO ticks_platform.feed_channel (feed, channel, state, since, detail) VALUES %s
ON CONFLICT (feed, channel) DO UPDATE SET state = excluded.state, since = excluded.since, detail = excluded.detail;
