-- How these feeds are. The heartbeat's age and the lag are in seconds, counts since the feed exists, connections of the last day.
SELECT feed, enabled, heartbeat_age, released, state, detail, loaded, rejected, connections, lag
FROM ({status}) AS status
ORDER BY array_position({feeds}::text[], feed)
