-- Inserts halts and resumptions that are not stored yet, and returns them.
INSERT INTO trading_halt ({columns}) VALUES %s
ON CONFLICT DO NOTHING
RETURNING time, symbol, kind;
