-- Also symbols of an owner that ended before it could record them, whose coverage its journal has kept.
SELECT DISTINCT symbol FROM ticks_platform.feed_coverage WHERE feed = ANY (%(feeds)s) AND NOT computed;
