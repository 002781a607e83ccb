-- Inserts a copy of the newest tick: whether the table takes rows like those that it has. The caller takes it away again.
INSERT INTO stocks_real_time ({columns})
SELECT {columns} FROM stocks_real_time ORDER BY time DESC LIMIT 1;
