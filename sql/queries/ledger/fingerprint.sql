-- The fingerprint of some ticks.
coalesce(sum(ticks_platform.tick_hash(tick_id, price, size, updates)), 0)
