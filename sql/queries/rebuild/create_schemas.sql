-- Where new candles are made beside the old ones, under the same names, and where the old ones go.
CREATE SCHEMA IF NOT EXISTS ticks_platform_new;
CREATE SCHEMA IF NOT EXISTS ticks_platform_old;
