-- Which of these feeds are switched on.
SELECT feed FROM ticks_platform.feed WHERE enabled AND feed = ANY (%(feeds)s);
