-- The source of truth as it was seen last, to notice that it is another one.
CREATE TABLE holdtrue.source (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    system text NOT NULL,
    timeline bigint NOT NULL,
    lsn numeric NOT NULL,
    slot boolean NOT NULL,
    -- Ordinal of its log, for workers; whether they have all been told.
    epoch bigint NOT NULL DEFAULT 1,
    ordered boolean NOT NULL DEFAULT true,
    -- A break that the drift topic does not tell of yet.
    cause text,
    reason text,
    seen_at timestamptz NOT NULL DEFAULT now()
);
