-- Drops a view, which is made again.
DROP VIEW {view};
