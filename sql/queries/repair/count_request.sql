-- Counts a request to a provider before it is made, and returns its number.
INSERT INTO ticks_platform.feed_repair_request (account, repair_id, owner, at, credits)
VALUES (%(account)s, %(repair_id)s, %(owner)s, clock_timestamp(), %(credits)s)
RETURNING request_id;
