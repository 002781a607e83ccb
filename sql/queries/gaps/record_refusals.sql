-- Records why the provider does not stream symbols.
UPDATE ticks_platform.feed_symbol AS known SET refusal = given.refusal
FROM (VALUES %s) AS given (feed, symbol, refusal)
WHERE known.feed = given.feed AND known.symbol = given.symbol AND known.wanted_until IS NULL
    AND known.refusal IS DISTINCT FROM given.refusal;
