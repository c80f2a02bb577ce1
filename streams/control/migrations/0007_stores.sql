-- The servers of a replica as they were seen last, to notice that what they had acknowledged may be gone.
CREATE TABLE holdtrue.stores (
    replica text PRIMARY KEY,
    -- Of each server, the history of writes that it has.
    histories text[] NOT NULL,
    -- When one was gone; whether the drift topic tells of it.
    lost_at timestamptz,
    told boolean NOT NULL DEFAULT true
);
