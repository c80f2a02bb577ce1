-- What is remembered. Filled only from the project's topics, each record once (see `progress`).

-- Up to where each partition of a topic is in these tables: moved in the transaction that changes them.
CREATE TABLE holdtrue.progress (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

CREATE TABLE holdtrue.drift (
    id text PRIMARY KEY,
    replica text NOT NULL,
    table_name text NOT NULL,
    key jsonb,
    key_bytes bytea,
    key_hidden boolean NOT NULL,
    kind text NOT NULL,
    cause text NOT NULL,
    state text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    times_seen integer NOT NULL,
    lives integer NOT NULL,
    entry_token bytea,
    replica_token bytea,
    entry_digest bytea,
    replica_digest bytea,
    sot_digest bytea,
    columns text[] NOT NULL,
    run text,
    change jsonb,
    repair text,
    reason text,
    accepted_by text,
    accepted_until timestamptz,
    at timestamptz NOT NULL
);
CREATE INDEX drift_by_state ON holdtrue.drift (state, replica, table_name);

-- Every event, also the refused ones.
CREATE TABLE holdtrue.drift_events (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    id text NOT NULL,
    state text NOT NULL,
    before text,
    verdict text NOT NULL,
    life integer NOT NULL,
    cause text NOT NULL,
    run text,
    repair text,
    reason text,
    said_by text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);
CREATE INDEX drift_events_by_id ON holdtrue.drift_events (id, at);

CREATE TABLE holdtrue.runs (
    run text NOT NULL,
    table_name text NOT NULL,
    replica text NOT NULL,
    depth text NOT NULL,
    scope text NOT NULL,
    outcome text NOT NULL,
    sot_rows bigint,
    replica_rows bigint,
    verified bigint NOT NULL,
    superseded bigint NOT NULL,
    skipped bigint NOT NULL,
    failed bigint NOT NULL,
    drift_found bigint NOT NULL,
    fence_lsn text,
    verified_through text,
    verified_through_at timestamptz,
    seconds double precision NOT NULL,
    started timestamptz NOT NULL,
    finished timestamptz NOT NULL,
    error text,
    PRIMARY KEY (run, table_name, replica)
);
CREATE INDEX runs_by_table ON holdtrue.runs (table_name, replica, finished DESC);

CREATE TABLE holdtrue.repairs (
    repair text PRIMARY KEY,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL
);

CREATE TABLE holdtrue.repair_items (
    repair text NOT NULL REFERENCES holdtrue.repairs,
    drift text NOT NULL,
    replica text NOT NULL,
    table_name text NOT NULL,
    partition integer NOT NULL,
    key_bytes bytea NOT NULL,
    outcome text NOT NULL,
    token bytea,
    reason text,
    at timestamptz NOT NULL,
    PRIMARY KEY (repair, drift, key_bytes)
);

CREATE TABLE holdtrue.signals (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    id text NOT NULL,
    type text NOT NULL,
    replica text,
    table_name text,
    position text,
    run text,
    detail jsonb NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

-- Holds that are in force. partition -1: the whole table, held by a person.
CREATE TABLE holdtrue.holds (
    replica text NOT NULL,
    table_name text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (replica, table_name, partition)
);

-- Where the dead letters are and why; their bytes stay in the dead-letter topic.
CREATE TABLE holdtrue.dead_letters (
    id text PRIMARY KEY,
    replica text NOT NULL,
    table_name text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    recorded_at timestamptz,
    key_bytes integer,
    value_bytes integer,
    header_names text[] NOT NULL,
    reason text NOT NULL,
    error text NOT NULL,
    drift text,
    times integer NOT NULL,
    letter_partition integer NOT NULL,
    letter_offset bigint NOT NULL,
    at timestamptz NOT NULL,
    UNIQUE (replica, topic, partition, "offset")
);

-- Records on our own topics that are not ours or cannot be read. Nobody else would ever mention them.
CREATE TABLE holdtrue.unreadable (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

-- Append-only. `detail` is text, not jsonb: the hash covers its exact bytes.
CREATE TABLE holdtrue.audit (
    sequence bigint PRIMARY KEY CHECK (sequence > 0),
    at timestamptz NOT NULL,
    who text NOT NULL,
    what text NOT NULL,
    object text NOT NULL,
    why text NOT NULL,
    detail text NOT NULL,
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    -- The record it comes from: the same record never makes a second entry.
    source text UNIQUE
);

CREATE FUNCTION holdtrue.audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON holdtrue.audit
    FOR EACH STATEMENT EXECUTE FUNCTION holdtrue.audit_is_append_only();

-- The outbox's mark: up to here the audit topic has acknowledged.
CREATE TABLE holdtrue.audit_published (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    through bigint NOT NULL
);
INSERT INTO holdtrue.audit_published (through) VALUES (0);
