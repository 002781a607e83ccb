-- Where both names have a gap that begins at the same moment, as of one connection that broke, that of the new name becomes what is worse of both:
-- what was missed under the old name is missing.
UPDATE ticks_platform.feed_gap AS new
SET
    ends_at = nullif(greatest(coalesce(old.ends_at, 'infinity'), coalesce(new.ends_at, 'infinity')), 'infinity'),
    rows_repaired = old.rows_repaired + new.rows_repaired,
    state = CASE WHEN is_worse THEN old.state ELSE new.state END,
    cause = CASE WHEN is_worse THEN old.cause ELSE new.cause END,
    detail = CASE WHEN is_worse THEN old.detail ELSE new.detail END,
    changed_at = clock_timestamp()
FROM (
    SELECT one.*, other.gap_id AS new_gap_id,
        array_position(ARRAY['open', 'unrepairable', 'ignored', 'repaired'], one.state)
            < array_position(ARRAY['open', 'unrepairable', 'ignored', 'repaired'], other.state)
        -- What bars repaired lacks its ticks.
        OR one.state = 'repaired' AND other.state = 'repaired' AND one.detail LIKE '%% minute bars %%' AS is_worse
    FROM ticks_platform.feed_gap AS one
    JOIN ticks_platform.feed_gap AS other USING (feed, begins_at)
    WHERE one.symbol = %(old)s AND other.symbol = %(new)s AND feed = ANY (%(feeds)s)
) AS old
WHERE new.gap_id = new_gap_id;
