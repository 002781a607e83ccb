-- Drops a view that is made again.
DROP VIEW {view};
