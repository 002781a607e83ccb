-- Part of the live page's statement: the time by the database's clock, in seconds.
SELECT 'now' AS part, to_json(extract(epoch FROM clock_timestamp())::float8) AS content
