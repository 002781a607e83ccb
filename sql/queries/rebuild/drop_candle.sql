-- A new candle that did not come to its place, and an old one that has left it.
DROP MATERIALIZED VIEW IF EXISTS ticks_platform_new.{candle};
DROP MATERIALIZED VIEW IF EXISTS ticks_platform_old.{candle};
