-- How far each table of each replica was behind, and how much of it was in drift: the worst of each period of so many
-- minutes. NULL: not known.
CREATE TABLE holdtrue.samples (
    replica text NOT NULL,
    table_name text NOT NULL,
    minutes integer NOT NULL,
    at timestamptz NOT NULL,
    lag_seconds double precision,
    lag_events bigint,
    drift_open bigint NOT NULL,
    held boolean NOT NULL,
    PRIMARY KEY (replica, table_name, minutes, at)
);

-- Whether each table of each replica is in sync, as it was seen last (see sync.py).
CREATE TABLE holdtrue.syncs (
    replica text NOT NULL,
    table_name text NOT NULL,
    -- Hash of how the plan has it copied.
    rules text NOT NULL,
    -- Why it is not, or was not until a moment ago; NULL: it is, and that was told.
    out text,
    since timestamptz NOT NULL,
    within_since timestamptz,
    -- What the signals topic does not have yet.
    untold jsonb,
    PRIMARY KEY (replica, table_name)
);

-- Keys whose row the store may lack and does; who asked for a run, and under which plan.
ALTER TABLE holdtrue.runs
    ADD COLUMN absent bigint,
    ADD COLUMN who text,
    ADD COLUMN plan_hash text,
    ADD COLUMN owner text,
    ADD COLUMN approver text;

CREATE INDEX drift_events_by_run ON holdtrue.drift_events (run) WHERE run IS NOT NULL;
CREATE INDEX drift_events_by_repair ON holdtrue.drift_events (repair) WHERE repair IS NOT NULL;
CREATE INDEX repair_items_by_drift ON holdtrue.repair_items (drift);
CREATE INDEX signals_by_run ON holdtrue.signals (run) WHERE run IS NOT NULL;
CREATE INDEX audit_by_object ON holdtrue.audit (object, sequence);
