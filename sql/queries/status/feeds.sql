-- How each of these feeds is, as far as the database knows: what is wanted, who ingests it, its last change of state, its
-- account, its newest tick, and its gaps that are open. A feed that the database has never seen has no row.
SELECT feed.feed, feed.provider, feed.synthetic, feed.enabled,
    lease.owner, lease.epoch, lease.released_at IS NOT NULL AS released,
    extract(epoch FROM clock_timestamp() - lease.heartbeat_at)::float8 AS heartbeat_age,
    session.state, session.detail, session.at AS state_since,
    account.events, account.loaded, account.replaced, account.duplicate, account.rejected, account.control,
    account.last_received_at, newest.time AS last_tick_at,
    (SELECT count(*) FROM ticks_platform.feed_gap AS gap WHERE gap.feed = feed.feed AND gap.state = 'open') AS open_gaps
FROM ticks_platform.feed AS feed
LEFT JOIN ticks_platform.feed_lease AS lease ON lease.feed = feed.feed
LEFT JOIN LATERAL (
    SELECT state, detail, at FROM ticks_platform.feed_session WHERE feed_session.feed = feed.feed ORDER BY at DESC LIMIT 1
) AS session ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(events), 0)::bigint AS events, coalesce(sum(loaded), 0)::bigint AS loaded,
        coalesce(sum(replaced), 0)::bigint AS replaced, coalesce(sum(duplicate), 0)::bigint AS duplicate,
        coalesce(sum(rejected), 0)::bigint AS rejected, coalesce(sum(control), 0)::bigint AS control,
        max(last_received_at) AS last_received_at
    FROM ticks_platform.feed_ledger AS ledger WHERE ledger.feed = feed.feed
) AS account ON true
LEFT JOIN LATERAL (
    SELECT time FROM stocks_real_time AS tick WHERE tick.feed = feed.feed AND time > now() - INTERVAL '1 day'
    ORDER BY time DESC LIMIT 1
) AS newest ON true
WHERE feed.feed = ANY (%(feeds)s)
ORDER BY feed.feed
