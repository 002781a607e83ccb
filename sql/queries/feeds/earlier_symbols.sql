-- The symbols that feeds have ever streamed, as their ticks call them: also those of an owner that ended before it could record them,
-- whose coverage its journal has kept.
SELECT symbol FROM ticks_platform.feed_symbol WHERE feed = ANY (%(feeds)s)
UNION
SELECT symbol FROM ticks_platform.feed_coverage WHERE feed = ANY (%(feeds)s) AND NOT computed;
