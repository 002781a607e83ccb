-- Records symbols of a known feed that came by one that stands for many. In one order, so that two loaders of a feed do not wait for each other.
INSERT INTO ticks_platform.wildcard_symbol (feed, wildcard, symbol)
SELECT %(feed)s, wildcard, symbol
FROM unnest(%(wildcards)s::text[], %(symbols)s::text[]) AS given (wildcard, symbol)
WHERE EXISTS (SELECT FROM ticks_platform.feed WHERE feed = %(feed)s)
ORDER BY symbol, wildcard
ON CONFLICT DO NOTHING;
