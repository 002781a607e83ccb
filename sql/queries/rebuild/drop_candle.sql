-- Drops a new candle that was not swapped in, and an old one that was swapped out.
DROP MATERIALIZED VIEW IF EXISTS ticks_platform_new.{candle};
DROP MATERIALIZED VIEW IF EXISTS ticks_platform_old.{candle};
