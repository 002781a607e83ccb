-- Of these symbols of a feed, those of which its provider is to be asked: never asked, asked by another spelling, or long enough ago.
SELECT given.symbol, given.asked
FROM unnest(%(symbols)s::text[], %(asked)s::text[]) AS given (symbol, asked)
LEFT JOIN ticks_platform.instrument_reference AS known ON known.feed = %(feed)s AND known.symbol = given.symbol
WHERE known.ask_after IS NULL OR known.ask_after <= now() OR known.asked <> given.asked
ORDER BY known.ask_after NULLS FIRST, given.symbol;
