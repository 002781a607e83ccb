-- SQLite: the groups from a position on that end before another one, in their order.
SELECT position, end, frames_before, frames, data FROM frame_group
WHERE position >= :begin AND end <= :end
ORDER BY position;
