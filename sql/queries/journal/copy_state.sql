-- SQLite: the state of a journal for a new file, in which everything before a position is deleted. `old` is the journal.
INSERT INTO main.journal
SELECT
    feed,
    synthetic,
    journal_id,
    generation,
    max(trimmed_position, :position),
    coalesce(
        (SELECT frames_before + frames FROM old.frame_group WHERE position < :position ORDER BY position DESC LIMIT 1),
        trimmed_frames
    )
FROM old.journal;
