-- Schemas in which new candles are made under the names of the old ones, and to which the old ones are moved.
CREATE SCHEMA IF NOT EXISTS ticks_platform_new;
CREATE SCHEMA IF NOT EXISTS ticks_platform_old;
