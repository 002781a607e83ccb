-- How each of these feeds is, its newest tick of the last day, and its gaps that are open.
SELECT status.*, newest.time AS last_tick_at,
    (SELECT count(*) FROM ticks_platform.feed_gap AS gap WHERE gap.feed = status.feed AND gap.state = 'open') AS open_gaps
FROM ({status}) AS status
LEFT JOIN LATERAL (
    SELECT time FROM stocks_real_time AS tick WHERE tick.feed = status.feed AND time > now() - INTERVAL '1 day'
    ORDER BY time DESC LIMIT 1
) AS newest ON true
