-- Adds the rules that the table does not have yet.
INSERT INTO ticks_platform.trade_condition (
    rules_version, valid_from, provider, condition, name, letters, updates_open_close, updates_high_low, updates_volume
)
VALUES %s
ON CONFLICT DO NOTHING;
