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
CREATE TABLE frame_group (
    -- How many bytes of frames came before the first frame of this group.
    position    INTEGER PRIMARY KEY,
    end         INTEGER NOT NULL,
    -- How many frames came before, since the journal was made.
    frames_before  INTEGER NOT NULL,
    frames      INTEGER NOT NULL,
    -- MessagePack: [epoch, connection, [received_at, ...], [frame, ...]].
    data        BLOB    NOT NULL
);
CREATE TABLE journal (
    feed        TEXT    NOT NULL,
    -- Whether its frames are made up by the stand-in: they must never be loaded as those of a market.
    synthetic   INTEGER NOT NULL,
    -- Identifies this file for good, wherever it is moved to.
    journal_id  TEXT    NOT NULL,
    -- Who appends: every opening for writing takes the next one, and an append under an older one is refused.
    generation  INTEGER NOT NULL,
    -- Everything before this position is committed, and forgotten here; so many frames were before it.
    trimmed_position  INTEGER NOT NULL,
    trimmed_frames    INTEGER NOT NULL
);
INSERT INTO "journal" VALUES('tape',1,'b9f8d9fa-1894-43ca-b3cf-c625a5a015a2',1,24898,53);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('coverage_note',8);
COMMIT;
