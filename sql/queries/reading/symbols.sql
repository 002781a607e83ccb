-- The symbols that feeds have or had, or that somebody described, with what is known of their instruments.
SELECT known.symbol, max(company.name) AS name, max(asset_class) AS asset_class, max(mic) AS mic, max(currency) AS currency,
    max(tick_size) AS tick_size, bool_or(coalesce(may_be_negative, false)) AS may_be_negative, max(calendar) AS calendar, max(hours) AS hours,
    string_agg(DISTINCT feed, ', ' ORDER BY feed) AS feeds, bool_or(coalesce(streamed, false)) AS is_streamed
FROM (
    SELECT symbol, feed, wanted_until IS NULL AS streamed FROM ticks_platform.feed_symbol
    UNION ALL
    SELECT symbol, feed, false FROM ticks_platform.symbol_calendar
    UNION ALL
    SELECT symbol, NULL, false FROM instrument
    UNION ALL
    SELECT symbol, NULL, false FROM company
    UNION ALL
    SELECT symbol, 'manual', false FROM one_day_candle WHERE bucket > now() - INTERVAL '8 days'
        AND symbol NOT IN (SELECT feed_symbol.symbol FROM ticks_platform.feed_symbol)
) AS known
LEFT JOIN company ON company.symbol = known.symbol
LEFT JOIN instrument ON instrument.symbol = known.symbol
GROUP BY known.symbol
