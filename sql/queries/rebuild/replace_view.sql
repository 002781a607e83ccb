-- Makes a view read the new candles.
CREATE OR REPLACE VIEW {view} AS {definition};
