-- Inserts bars; one of a window that has a bar replaces it.
INSERT INTO stock_aggregates AS stored ({columns}) VALUES %s
ON CONFLICT ({key}) DO UPDATE SET {updates};
