-- Partitions of the plan's tables, by table and oid; and which tables are still to be looked through for rows that went with one.
ALTER TABLE holdtrue.source ADD COLUMN parts jsonb NOT NULL DEFAULT '{}', ADD COLUMN sweeps text[] NOT NULL DEFAULT '{}';
