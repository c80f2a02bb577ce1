-- How many keys a drift is about, and of those that are only counted how many have which cause.
ALTER TABLE holdtrue.drift ADD COLUMN keys bigint NOT NULL DEFAULT 1, ADD COLUMN causes jsonb NOT NULL DEFAULT '{}';
ALTER TABLE holdtrue.drift_events ADD COLUMN keys bigint NOT NULL DEFAULT 1;
