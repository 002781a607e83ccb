-- Notes why a provider could not be asked of these symbols, and when it will be.
INSERT INTO ticks_platform.instrument_reference AS kept (feed, symbol, asked, problem, ask_after)
SELECT %(feed)s, symbol, asked, %(problem)s, now() + %(pause)s
FROM unnest(%(symbols)s::text[], %(asked)s::text[]) AS given (symbol, asked)
ON CONFLICT (feed, symbol) DO UPDATE SET problem = excluded.problem, ask_after = excluded.ask_after;
