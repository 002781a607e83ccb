-- Planned hand-overs of a feed from one owner to the next: both receive for some seconds, and what both received is stored once.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_handover (
    feed                 text        NOT NULL REFERENCES ticks_platform.feed,
    -- The successor's, reserved at the begin: what it receives from then on is accounted for under this epoch. Below zero, it is no
    -- hand-over: a journal came back, and is compared with what others have stored since.
    epoch                bigint      NOT NULL,
    successor            text        NOT NULL,
    journal_id           uuid        NOT NULL,
    predecessor          text        NOT NULL,
    predecessor_epoch    bigint      NOT NULL,
    predecessor_journal  uuid,
    begun_at             timestamptz NOT NULL,
    -- When the successor took the lease, by its own clock; until then the predecessor continues.
    taken_at             timestamptz,
    -- When the predecessor closed its connection; NULL when it was killed.
    closed_at            timestamptz,
    -- When it was decided which events of the successor's journal the predecessor had stored.
    settled_at           timestamptz,
    -- Their number, and their positions: 8 bytes each, little-endian, ascending, compressed by zlib.
    left_out             bigint,
    left_out_positions   bytea,
    PRIMARY KEY (feed, epoch)
);
CREATE INDEX IF NOT EXISTS feed_handover_journal_idx ON ticks_platform.feed_handover (journal_id, epoch DESC);
