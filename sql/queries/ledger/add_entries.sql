-- Adds a batch to the ledger, in the transaction that stores it.
INSERT INTO ticks_platform.feed_ledger AS ledger (
    feed, epoch, connection, first_received_at, last_received_at,
    frames, events, loaded, replaced, duplicate, rejected, control, last_data_at
) VALUES %s
ON CONFLICT (feed, epoch, connection) DO UPDATE SET
    last_received_at = excluded.last_received_at,
    frames = ledger.frames + excluded.frames,
    events = ledger.events + excluded.events,
    loaded = ledger.loaded + excluded.loaded,
    replaced = ledger.replaced + excluded.replaced,
    duplicate = ledger.duplicate + excluded.duplicate,
    rejected = ledger.rejected + excluded.rejected,
    control = ledger.control + excluded.control,
    last_data_at = coalesce(excluded.last_data_at, ledger.last_data_at);
