-- Counts optional fields that could not be read, in the transaction that stores their events.
INSERT INTO ticks_platform.malformed_field AS counted (feed, day, field, events, last_received_at)
VALUES %s
ON CONFLICT (feed, day, field) DO UPDATE SET
    events = counted.events + excluded.events,
    last_received_at = greatest(counted.last_received_at, excluded.last_received_at);
