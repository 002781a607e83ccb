-- The new candle into the place of the old one. Both keep what is materialized; whoever reads the old one by its identity and not by
-- its name, as views do, goes on reading that.
ALTER MATERIALIZED VIEW {schema}.{candle} SET SCHEMA ticks_platform_old;
ALTER MATERIALIZED VIEW ticks_platform_new.{candle} SET SCHEMA {schema};
