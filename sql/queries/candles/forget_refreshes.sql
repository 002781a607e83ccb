-- Lets catch_up refresh this time again, should whoever changed its ticks not get to it.
DELETE FROM ticks_platform.candle_refresh WHERE bucket >= %(begin)s AND bucket < %(end)s;
