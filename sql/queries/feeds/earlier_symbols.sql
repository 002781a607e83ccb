-- The symbols that feeds have ever streamed, as their ticks call them.
SELECT symbol FROM ticks_platform.feed_symbol WHERE feed = ANY (%(feeds)s);
