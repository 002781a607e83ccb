-- Deletes symbols of feeds that do not have them any more while another feed does.
DELETE FROM ticks_platform.symbol_calendar
WHERE symbol = ANY (%(symbols)s)
    AND (feed, symbol) NOT IN (SELECT * FROM unnest(%(feeds)s::text[], %(symbols)s::text[]));
