-- How many keys a drift is about, and of those that are only counted how many have which cause; what
-- the cause rests on; who ordered a step.
ALTER TABLE holdtrue.drift ADD COLUMN keys bigint NOT NULL DEFAULT 1, ADD COLUMN causes jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN evidence text;
ALTER TABLE holdtrue.drift_events ADD COLUMN keys bigint NOT NULL DEFAULT 1, ADD COLUMN ordered_by text;
