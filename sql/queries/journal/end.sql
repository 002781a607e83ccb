-- SQLite: the position after the last frame of a journal, and how many frames came before it.
SELECT coalesce(max(end), trimmed_position), coalesce(max(frames_before + frames), trimmed_frames)
FROM journal
LEFT JOIN frame_group;
