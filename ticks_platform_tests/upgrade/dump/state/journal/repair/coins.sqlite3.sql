PRAGMA application_id = 1953063787;
PRAGMA user_version = 1;
PRAGMA journal_mode = wal;
BEGIN TRANSACTION;
CREATE TABLE coverage_note (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch       INTEGER NOT NULL,
    -- MessagePack: [[symbol, connection, begins_at, ends_at, ended_by], ...].
    periods     BLOB    NOT NULL
);
CREATE TABLE created_by (
    release     TEXT    NOT NULL
);
INSERT INTO "created_by" VALUES('0.2.0');
CREATE TABLE frame_group (
    -- Bytes of frames before the first frame of this group.
    position    INTEGER PRIMARY KEY,
    end         INTEGER NOT NULL,
    -- Frames before this group, since the journal was created.
    frames_before  INTEGER NOT NULL,
    frames      INTEGER NOT NULL,
    -- MessagePack: [epoch, connection, [received_at, ...], [frame, ...], stepped, correction].
    data        BLOB    NOT NULL
);
CREATE TABLE journal (
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
INSERT INTO "journal" VALUES('coins',1,'299f5291-19a7-4045-9c06-1809cd59af9d',1,14001,0);
DELETE FROM "sqlite_sequence";
COMMIT;
