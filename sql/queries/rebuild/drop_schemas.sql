-- Drops the schemas of a rebuild.
DROP SCHEMA IF EXISTS ticks_platform_new;
DROP SCHEMA IF EXISTS ticks_platform_old;
