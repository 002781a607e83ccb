-- The schema of the machinery; what users query is in their own schema.
CREATE SCHEMA IF NOT EXISTS ticks_platform;
