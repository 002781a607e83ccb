-- What the providers have answered of the symbols of their feeds.
SELECT feed, symbol, asset_class, mic, currency, round_lot, may_be_negative
FROM ticks_platform.instrument_reference
WHERE answered_at IS NOT NULL;
