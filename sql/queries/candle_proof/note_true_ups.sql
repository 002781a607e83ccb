-- Notes of feeds whether their days are trued up.
UPDATE ticks_platform.feed AS known
SET trues_up = given.trues_up
FROM unnest(%(feeds)s::text[], %(trues_up)s::boolean[]) AS given (feed, trues_up)
WHERE known.feed = given.feed AND known.trues_up IS DISTINCT FROM given.trues_up;
