-- Keeps the last row of each symbol.
DELETE FROM company AS earlier USING company AS later WHERE earlier.symbol = later.symbol AND earlier.ctid < later.ctid;
