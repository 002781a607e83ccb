-- SQLite: the durable log of one feed's frames on this machine, until they are committed in the database.
CREATE TABLE IF NOT EXISTS journal (
    feed        TEXT    NOT NULL,
    -- Whether its frames come from the stand-in: they must never be loaded as a market's.
    synthetic   INTEGER NOT NULL,
    -- Identifies this journal permanently, wherever its file is moved.
    journal_id  TEXT    NOT NULL,
    -- Fences writers: each opening for writing takes the next number, and an append under an older one is refused.
    generation  INTEGER NOT NULL,
    -- Everything before this position is committed and deleted here, and so many frames came before it.
    trimmed_position  INTEGER NOT NULL,
    trimmed_frames    INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS frame_group (
    -- Bytes of frames before the first frame of this group.
    position    INTEGER PRIMARY KEY,
    end         INTEGER NOT NULL,
    -- Frames before this group, since the journal was created.
    frames_before  INTEGER NOT NULL,
    frames      INTEGER NOT NULL,
    -- MessagePack: [epoch, connection, [received_at, ...], [frame, ...], stepped, correction].
    data        BLOB    NOT NULL
);

-- Changes of coverage that the database does not have yet; see coverage_notes.py.
CREATE TABLE IF NOT EXISTS coverage_note (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch       INTEGER NOT NULL,
    -- MessagePack: [[symbol, connection, begins_at, ends_at, ended_by], ...].
    periods     BLOB    NOT NULL
);
