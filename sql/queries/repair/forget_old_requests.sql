-- Deletes requests that no limit counts.
DELETE FROM ticks_platform.feed_repair_request
WHERE at < now() - %(kept)s::interval AND (pause_until IS NULL OR pause_until < now());
