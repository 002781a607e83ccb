-- SQLite: which release created a journal. Journals of releases before 0.2.0 do not have it; ticks_platform.feeds.primary asks for that.
CREATE TABLE created_by (
    release     TEXT    NOT NULL
);
