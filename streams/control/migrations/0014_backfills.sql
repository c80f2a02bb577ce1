-- Backfills that were ordered, and how the run after each has ended.
CREATE TABLE holdtrue.backfills (
    backfill text PRIMARY KEY,
    replica text NOT NULL,
    table_name text NOT NULL,
    -- Hash of the range; and the range as it was given, where keys may be shown.
    scope text NOT NULL,
    range text NOT NULL,
    ordered_by text NOT NULL,
    reason text NOT NULL,
    rows bigint,
    partitions integer NOT NULL,
    ordered_at timestamptz NOT NULL,
    -- NULL: no run has followed yet.
    outcome text,
    run text,
    ended_at timestamptz
);
CREATE INDEX backfills_by_place ON holdtrue.backfills (replica, table_name, ordered_at);

-- What owners have done of them.
CREATE TABLE holdtrue.backfill_parts (
    backfill text NOT NULL,
    partition integer NOT NULL,
    looked bigint NOT NULL,
    written bigint NOT NULL,
    removed bigint NOT NULL,
    failed bigint NOT NULL,
    -- Why it was given up; empty where it was done.
    reason text NOT NULL,
    ended_at timestamptz NOT NULL,
    PRIMARY KEY (backfill, partition)
);
