-- Counts a request to a provider's history before it is made, and returns its number.
INSERT INTO ticks_platform.feed_repair_request (account, repair_id, owner, at)
VALUES (%(account)s, %(repair_id)s, %(owner)s, clock_timestamp())
RETURNING request_id;
