-- Whether a feed has a quote of one of these symbols in the time of a batch, of another journal than the file's.
SELECT EXISTS (
    SELECT FROM stock_quotes
    WHERE feed = %(feed)s AND symbol = ANY (%(symbols)s) AND time BETWEEN %(first)s AND %(last)s
        AND ('x' || right(quote_id::text, 4))::bit(16)::int <> %(journal)s
);
