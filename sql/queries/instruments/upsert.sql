-- Stores what is known of instruments; returns a row for each that was new or different.
INSERT INTO instrument AS kept (symbol, asset_class, mic, currency, tick_size, may_be_negative, calendar, hours, source, changed_at)
SELECT symbol, asset_class, mic, currency, tick_size, may_be_negative, calendar, hours, source, now()
FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (
    symbol text, asset_class text, mic text, currency text, tick_size double precision, may_be_negative boolean, calendar text,
    hours text, source text
)
ON CONFLICT (symbol) DO UPDATE SET (
    asset_class, mic, currency, tick_size, may_be_negative, calendar, hours, source, changed_at
) = ROW (
    excluded.asset_class, excluded.mic, excluded.currency, excluded.tick_size, excluded.may_be_negative, excluded.calendar,
    excluded.hours, excluded.source, excluded.changed_at
)
WHERE (
    kept.asset_class, kept.mic, kept.currency, kept.tick_size, kept.may_be_negative, kept.calendar, kept.hours, kept.source
) IS DISTINCT FROM (
    excluded.asset_class, excluded.mic, excluded.currency, excluded.tick_size, excluded.may_be_negative, excluded.calendar,
    excluded.hours, excluded.source
)
RETURNING 1;
