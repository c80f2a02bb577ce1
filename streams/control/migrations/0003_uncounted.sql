-- A run that could not look has counted nothing: that is not zero.
ALTER TABLE holdtrue.runs
    ALTER COLUMN verified DROP NOT NULL,
    ALTER COLUMN superseded DROP NOT NULL,
    ALTER COLUMN skipped DROP NOT NULL,
    ALTER COLUMN failed DROP NOT NULL,
    ALTER COLUMN drift_found DROP NOT NULL;

-- Which schema the record that was given up was written with, where its bytes name one.
ALTER TABLE holdtrue.dead_letters ADD COLUMN schema_id bigint;
