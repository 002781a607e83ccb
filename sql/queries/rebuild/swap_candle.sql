-- Puts the new candle in the place of the old one. Both keep what is materialized. Views refer to the old one by its identity and not
-- by name, and continue to read it until they are replaced.
ALTER MATERIALIZED VIEW {schema}.{candle} SET SCHEMA ticks_platform_old;
ALTER MATERIALIZED VIEW ticks_platform_new.{candle} SET SCHEMA {schema};
